"""The cases of a gateway's copy that the machine in test_conservation meets seldom."""

from __future__ import annotations

from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.replica_copy import (
    ANSWER_TIMEOUT_S,
    LOST_S,
    SILENT_S,
    Change,
    Forget,
    Load,
    ReplicaCopy,
    RequestSnapshot,
)
from deployments.kv_cache.reports import Header, Report, SnapshotPart

EXACT, CATCHING_UP, DEGRADED = FeedState.EXACT, FeedState.CATCHING_UP, FeedState.DEGRADED


def header(sequence: int, reporter: bytes = b"r", keying: bytes = b"k") -> Header:
    return Header(reporter, keying, sequence, EXACT)


def report(base: int, sequence: int, reporter: bytes = b"r", keying: bytes = b"k") -> Report:
    return Report(header(sequence, reporter, keying), base)


def part(request: int, sequence: int, part: int = 0, parts: int = 1) -> SnapshotPart:
    return SnapshotPart(header(sequence), request, part, parts, b"")


def exact_at(sequence: int) -> ReplicaCopy:
    copy = ReplicaCopy(b"k")
    assert copy.start(0.0) == [RequestSnapshot(1)]
    assert copy.state is CATCHING_UP
    assert copy.snapshot_part(part(1, sequence), 0.0) == [Load((part(1, sequence),))]
    assert copy.state is EXACT
    return copy


def test_reports_in_order_are_applied_and_a_gap_asks_for_everything() -> None:
    copy = exact_at(5)
    assert copy.report(report(5, 6), 0.1) == [Change(report(5, 6))]
    assert copy.report(report(6, 6), 0.2) == [], "it only says that it lives"
    assert copy.report(report(7, 8), 0.3) == [RequestSnapshot(2)]
    assert copy.state is CATCHING_UP


def test_a_lost_last_report_is_found_by_the_next_word() -> None:
    copy = exact_at(5)
    assert copy.report(report(6, 6), 0.1) == [RequestSnapshot(2)]


def test_reports_that_come_before_the_snapshot_are_applied_after_it() -> None:
    copy = ReplicaCopy(b"k")
    copy.start(0.0)
    for base in (4, 5, 6):
        assert copy.report(report(base, base + 1), 0.0) == []
    loaded = part(1, 5)
    assert copy.snapshot_part(loaded, 0.1) == [Load((loaded,)), Change(report(5, 6)), Change(report(6, 7))]
    assert copy.state is EXACT


def test_parts_of_an_earlier_answer_are_passed_over() -> None:
    copy = ReplicaCopy(b"k")
    copy.start(0.0)
    assert copy.snapshot_part(part(1, 5, 0, 2), 0.1) == []
    assert copy.tick(0.2 + ANSWER_TIMEOUT_S) == [RequestSnapshot(2)]
    assert copy.snapshot_part(part(1, 5, 1, 2), 0.3 + ANSWER_TIMEOUT_S) == []
    assert copy.state is CATCHING_UP


def test_a_part_that_got_lost_asks_for_everything() -> None:
    copy = ReplicaCopy(b"k")
    copy.start(0.0)
    assert copy.snapshot_part(part(1, 5, 1, 2), 0.1) == [RequestSnapshot(2)]


def test_another_reporter_is_asked_for_everything() -> None:
    assert exact_at(5).report(report(5, 6, reporter=b"s"), 0.1) == [RequestSnapshot(2)]


def test_a_short_silence_costs_belief_and_no_snapshot() -> None:
    copy = exact_at(5)
    assert copy.tick(SILENT_S) == []
    assert copy.state is CATCHING_UP
    assert copy.report(report(5, 5), SILENT_S + 0.1) == []
    assert copy.state is EXACT


def test_a_long_silence_forgets_once_and_a_word_begins_anew() -> None:
    copy = exact_at(5)
    assert copy.tick(LOST_S) == [Forget()]
    assert copy.tick(LOST_S + 1) == []
    assert copy.state is DEGRADED
    assert copy.report(report(5, 5), LOST_S + 2) == [RequestSnapshot(2)]
    copy.snapshot_part(part(2, 5), LOST_S + 2)
    assert copy.state is EXACT


def test_keys_of_another_secret_are_forgotten_until_they_are_ours() -> None:
    copy = exact_at(5)
    assert copy.report(report(5, 6, keying=b"other"), 0.1) == [Forget()]
    assert copy.report(report(6, 7, keying=b"other"), 0.2) == []
    assert (copy.state, copy.foreign_keys) == (DEGRADED, True)
    assert copy.report(report(7, 8), 0.3) == [RequestSnapshot(2)]
    assert copy.state is CATCHING_UP
