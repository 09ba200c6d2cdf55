from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kv_cache import reports
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.reports import (
    Header,
    Report,
    SnapshotPart,
    SnapshotRequest,
    UnreadableReport,
    decode_part,
    decode_report,
    decode_request,
    encode,
    snapshot,
)
from deployments.routing.cache_change import CacheChange

HEADER = Header(b"reporter", b"keying", 7, FeedState.EXACT)
KEYS = st.lists(st.integers(0, 2**60 - 1), unique=True)


@given(KEYS, KEYS, st.booleans(), st.integers(0, 9), st.integers(0, 9))
def test_a_change_survives_the_wire(
    stored: list[int], removed: list[int], cleared: bool, stored_blocks: int, removed_blocks: int
) -> None:
    change = CacheChange(stored, removed, cleared, stored_blocks, removed_blocks)
    arrived = decode_report(encode(Report.of(HEADER, 6, change)))
    assert (arrived.header, arrived.base, arrived.change()) == (HEADER, 6, change)


def test_a_key_is_eight_bytes_the_lowest_first() -> None:
    report = Report.of(HEADER, 6, CacheChange([0x0102], [0x0405]))
    assert (report.stored, report.removed) == (
        bytes([2, 1, 0, 0, 0, 0, 0, 0]),
        bytes([5, 4, 0, 0, 0, 0, 0, 0]),
    )


@given(held=KEYS)
def test_the_parts_of_a_snapshot_are_all_that_is_held(held: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "KEYS_IN_PART", 3)
        parts = [decode_part(encode(part)) for part in snapshot(HEADER, 5, held)]
    assert [(part.part, part.parts, part.request) for part in parts] == [
        (n, len(parts), 5) for n in range(max(1, -(-len(held) // 3)))
    ]
    assert [key for part in parts for key in part.contents()] == held


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x90", encode(["x"]), encode(SnapshotRequest(1)) + b"x"])
def test_bytes_that_are_no_message_are_refused(message: bytes) -> None:
    for decode in (decode_report, decode_part, decode_request):
        with pytest.raises(UnreadableReport):
            decode(message)


def test_bytes_that_are_no_array_of_keys_are_refused() -> None:
    for stored, removed in ((b"1234567", b""), (b"", b"123")):
        with pytest.raises(UnreadableReport):
            Report(HEADER, 6, False, stored, removed).change()
    with pytest.raises(UnreadableReport):
        SnapshotPart(HEADER, 1, 0, 1, b"123456789").contents()
