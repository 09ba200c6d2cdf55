from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kv_cache.events import Cleared, KvEvent, MediaMark, Removed, Stored
from deployments.kv_cache.messages import Decoder, UnreadableBatch, encode

NAMES = st.one_of(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=32))


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    """A run whose pictures lie apart, each of a token of its own, the first perhaps begun before the run."""
    size, count = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    tokens = draw(st.lists(st.integers(0, 9), min_size=size * count, max_size=size * count))
    parent = draw(st.one_of(st.none(), NAMES))
    earliest = 0 if parent is None else -4
    places = draw(st.lists(st.integers(earliest, size * count - 1), max_size=4, unique=True).map(sorted))
    places = [place for place in places if place >= 0 or place == places[0]]
    if places[1:2] == [0]:
        del places[1]
    media = tuple(MediaMark(place, draw(st.text(max_size=3))) for place in places)
    for index, mark in enumerate(media):
        end = places[index + 1] if index + 1 < len(places) else size * count
        for position in range(max(0, mark.start), draw(st.integers(max(0, mark.start) + 1, end))):
            tokens[position] = 100 + index
    return Stored(
        hashes=draw(st.lists(NAMES, min_size=count, max_size=count)),
        parent=parent,
        token_ids=tokens,
        block_size=size,
        salt=draw(st.text(max_size=3)) if parent is None else "",
        adapter=draw(st.text(max_size=2)),
        media=media,
    )


EVENTS = st.lists(st.one_of(stored(), st.builds(Removed, st.lists(NAMES, max_size=3)), st.just(Cleared())), max_size=5)


@given(EVENTS)
def test_events_survive_the_wire(events: list[KvEvent]) -> None:
    assert Decoder().decode(encode(events, 1.5)) == events


def wire(*events: dict[str, Any], further: tuple[Any, ...] = ()) -> bytes:
    """A payload as vLLM's own encoder writes it: arrays for batches, maps for events."""
    return msgspec.msgpack.encode([1.5, list(events), 0, *further])


def block_stored(**changes: Any) -> dict[str, Any]:
    return {
        "type": "BlockStored",
        "block_hashes": [1, 2],
        "parent_block_hash": None,
        "token_ids": [5, 6, 7, 8],
        "block_size": 2,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
        "group_idx": 0,
        "kv_cache_spec_kind": "full_attention",
        **changes,
    }


def removed(group: int | None = 0, medium: str | None = "GPU") -> dict[str, Any]:
    return {"type": "BlockRemoved", "block_hashes": [1], "medium": medium, "group_idx": group}


PLAIN = Stored([1, 2], None, [5, 6, 7, 8], 2)


def test_the_three_events() -> None:
    payload = wire(block_stored(), removed(), {"type": "AllBlocksCleared"})
    assert Decoder().decode(payload) == [PLAIN, Removed([1]), Cleared()]


def test_what_is_written_is_what_vllm_writes() -> None:
    event = Stored([1, 2], None, [5, 9, 9, 8], 2, "salt", "adapter", (MediaMark(1, "cat"),))
    ts, (told,), rank = msgspec.msgpack.decode(encode([event], 1.5))
    assert (ts, rank) == (1.5, 0)
    assert told == {
        **{k: v for k, v in block_stored(token_ids=[5, 9, 9, 8]).items() if v is not None},
        "parent_block_hash": None,
        "lora_name": "adapter",
        "extra_keys": [["adapter", ["cat", 1], "salt"], ["adapter", ["cat", -1]]],
    }


def test_fields_that_a_later_vllm_adds_are_passed_over() -> None:
    payload = wire(block_stored(invented={"a": [1]}, session_id="s"), further=("and", 9))
    assert Decoder().decode(payload) == [PLAIN]


@pytest.mark.parametrize("absent", ["lora_id", "medium", "lora_name", "group_idx", "kv_cache_spec_kind"])
def test_fields_that_may_be_absent(absent: str) -> None:
    event = block_stored()
    del event[absent]
    assert Decoder().decode(wire(event)) == [PLAIN]


@pytest.mark.parametrize("medium", ["CPU", "STORAGE"])
def test_other_media_are_not_the_gpus_cache(medium: str) -> None:
    assert Decoder().decode(wire(block_stored(medium=medium), removed(medium=medium))) == []


def test_of_a_hybrid_model_the_full_attention_group_counts() -> None:
    decoder = Decoder()
    window = block_stored(group_idx=1, kv_cache_spec_kind="sliding_window", block_hashes=[2])
    assert decoder.decode(wire(window, block_stored())) == [PLAIN]
    assert decoder.decode(wire(removed(1), removed(0), removed(None))) == [Removed([1]), Removed([1])]


@pytest.mark.parametrize(
    ("adapter", "first", "salt"),
    [
        (None, ["tenant"], "tenant"),
        (None, [["cat", 0], "tenant"], "tenant"),
        ("lora", ["lora", "tenant"], "tenant"),
        ("lora", ["lora"], ""),
        ("same", ["same", "same"], "same"),
        (None, None, ""),
    ],
)
def test_the_salt_is_the_first_blocks_bare_text(adapter: str | None, first: list[Any] | None, salt: str) -> None:
    event = block_stored(lora_name=adapter, extra_keys=[first, adapter and [adapter]])
    (told,) = Decoder().decode(wire(event))
    assert isinstance(told, Stored)
    assert (told.salt, told.adapter) == (salt, adapter or "")


def test_a_picture_is_told_once_however_many_blocks_it_spans() -> None:
    event = block_stored(
        parent_block_hash=9,
        block_hashes=[1, 2, 3],
        token_ids=list(range(6)),
        extra_keys=[[["cat", -3]], [["cat", -5], ["dog", 1]], [["dog", -1], ["cat", 1]]],
    )
    (told,) = Decoder().decode(wire(event))
    assert isinstance(told, Stored)
    assert told.media == (MediaMark(-3, "cat"), MediaMark(3, "dog"), MediaMark(5, "cat"))


def test_blocks_of_embeddings_have_no_tokens_to_index() -> None:
    (told,) = Decoder().decode(wire(block_stored(extra_keys=[None, [b"digest"]])))
    assert told == Stored([1], None, [5, 6], 2)
    assert Decoder().decode(wire(block_stored(extra_keys=[[b"digest"], None]))) == []


def test_a_run_with_blocks_left_out_cannot_be_placed() -> None:
    assert Decoder().decode(wire(block_stored(block_hashes=[2]))) == []


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93", wire({"type": "Invented"}), wire({"block_hashes": [1]})])
def test_what_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableBatch, match=r"no batch of KV events.*"):
        Decoder().decode(payload)


def test_a_name_that_the_wire_cannot_carry() -> None:
    with pytest.raises(TypeError, match="int or bytes, not tuple"):
        encode([Removed([("a", 1)])], 0.0)
