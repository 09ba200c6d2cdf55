"""vLLM's KV-event messages: what they look like on the wire, and what they say in the router's terms.

A message is three frames: topic, sequence number (8 bytes, big-endian), payload. The payload is a MessagePack array
`[seconds, events, data-parallel rank]`, each event a map that names its `type`. Written after
`vllm/distributed/kv_events.py` and `vllm/v1/core/kv_cache_utils.py` of vLLM 0.32. Fields that a later vLLM adds are
passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from deployments.kv_cache.events import Cleared, KvEvent, MediaMark, Removed, Stored

SEQUENCE_BYTES = 8
END_OF_REPLAY = (-1).to_bytes(SEQUENCE_BYTES, "big", signed=True)
"""Stands where a sequence number would, after the last replayed batch."""

REPLAYABLE_BATCHES = 10_000
"""How many of its last batches vLLM keeps for replays, unless told otherwise."""

FULL_ATTENTION = frozenset({None, "full_attention", "mla_attention", "sink_full_attention"})
"""Groups of layers that need the whole prefix. Others (sliding windows) say nothing of how far a prefix lasts."""

GPU = frozenset({None, "GPU"})
"""Media whose blocks a prompt reuses without a transfer. The CPU build names its memory so, too."""


class BlockStored(msgspec.Struct, tag=True, omit_defaults=True):
    """Blocks of one prompt, in order; `extra_keys` says for each what its name depends on beside its token ids."""

    block_hashes: list[int | bytes]
    parent_block_hash: int | bytes | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None = None
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: list[list[Any] | None] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None


class BlockRemoved(msgspec.Struct, tag=True, omit_defaults=True):
    block_hashes: list[int | bytes]
    medium: str | None = None
    group_idx: int | None = None


class AllBlocksCleared(msgspec.Struct, tag=True):
    pass


WireEvent = BlockStored | BlockRemoved | AllBlocksCleared


class EventBatch(msgspec.Struct, array_like=True, omit_defaults=True):
    """What one engine step changed. `ts` is in seconds since 1970."""

    ts: float
    events: list[WireEvent]
    data_parallel_rank: int | None = None


_reader = msgspec.msgpack.Decoder(EventBatch)
_writer = msgspec.msgpack.Encoder()


class UnreadableBatch(ValueError):
    """A payload that is no batch of KV events."""


class Decoder:
    """Decodes the batches of one engine, in order: a removal names its group only, a storing says what the group is."""

    def __init__(self) -> None:
        self._partial_groups: set[int] = set()

    def decode(self, payload: bytes) -> list[KvEvent]:
        """What the batch says of blocks on the GPU that full attention reads. Raises UnreadableBatch."""
        try:
            events = _reader.decode(payload).events
        except msgspec.DecodeError as error:
            raise UnreadableBatch(
                f"{len(payload)} bytes that are no batch of KV events as vLLM 0.32 publishes them: {error}"
            ) from error
        return [translated for event in events if (translated := self._translated(event)) is not None]

    def _translated(self, event: WireEvent) -> KvEvent | None:
        match event:
            case AllBlocksCleared():
                return Cleared()
            case BlockRemoved():
                counts = event.medium in GPU and event.group_idx not in self._partial_groups
                return Removed(event.block_hashes) if counts else None
            case _:
                return self._stored(event)

    def _stored(self, event: BlockStored) -> Stored | None:
        if event.kv_cache_spec_kind not in FULL_ATTENTION:
            if event.group_idx is not None:
                self._partial_groups.add(event.group_idx)
            return None
        extra_keys = event.extra_keys or [None] * len(event.block_hashes)
        blocks = _blocks_of_tokens(extra_keys)
        whole = len(event.token_ids) == event.block_size * len(event.block_hashes) and len(extra_keys) >= blocks
        if event.medium not in GPU or not whole or not blocks:
            return None
        adapter = event.lora_name or ""
        starts_prompt = event.parent_block_hash is None
        return Stored(
            hashes=event.block_hashes[:blocks],
            parent=event.parent_block_hash,
            token_ids=event.token_ids[: blocks * event.block_size],
            block_size=event.block_size,
            salt=_salt(extra_keys[0] or [], adapter) if starts_prompt else "",
            adapter=adapter,
            media=_media(extra_keys[:blocks], event.block_size),
        )


def _blocks_of_tokens(extra_keys: Sequence[list[Any] | None]) -> int:
    """How many leading blocks hold token ids: embeddings that a client sent, told by their digest, have none."""
    for index, keys in enumerate(extra_keys):
        if keys and any(isinstance(key, bytes) for key in keys):
            return index
    return len(extra_keys)


def _salt(first_block: Sequence[Any], adapter: str) -> str:
    """The one bare text of a prompt's first block, apart from the adapter's name, which leads."""
    texts = [key for key in first_block if isinstance(key, str)]
    return next(iter(texts[1:] if adapter and texts[:1] == [adapter] else texts), "")


def _media(extra_keys: Sequence[list[Any] | None], block_size: int) -> tuple[MediaMark, ...]:
    """Each picture once, though every block that it touches lists it, counted from that block's first token."""
    found = {
        (block * block_size + int(key[1]), str(key[0]))
        for block, keys in enumerate(extra_keys)
        for key in keys or ()
        if isinstance(key, list) and len(key) == 2
    }
    return tuple(MediaMark(start, identity) for start, identity in sorted(found))


def encode(events: Sequence[KvEvent], ts: float) -> bytes:
    """A payload as vLLM would publish it: full attention in group 0, on the GPU. `ts` is in seconds since 1970."""
    return _writer.encode(EventBatch(ts, [_wire(event) for event in events], 0))


def _wire(event: KvEvent) -> WireEvent:
    match event:
        case Cleared():
            return AllBlocksCleared()
        case Removed():
            return BlockRemoved(_names(event.hashes), "GPU", 0)
        case Stored():
            (parent,) = _names([event.parent]) if event.parent is not None else (None,)
            return BlockStored(
                block_hashes=_names(event.hashes),
                parent_block_hash=parent,
                token_ids=list(event.token_ids),
                block_size=event.block_size,
                medium="GPU",
                lora_name=event.adapter or None,
                extra_keys=_extra_keys(event),
                group_idx=0,
                kv_cache_spec_kind="full_attention",
            )


def _names(hashes: Sequence[Any]) -> list[int | bytes]:
    for name in hashes:
        if not isinstance(name, int | bytes):
            raise TypeError(f"a block's name on the wire is an int or bytes, not {type(name).__name__}")
    return list(hashes)


def _extra_keys(event: Stored) -> list[list[Any] | None]:
    """For each block, in vLLM's order: the adapter, the pictures that touch it, the salt in a prompt's first block."""
    keys: list[list[Any]] = [[event.adapter] if event.adapter else [] for _ in event.hashes]
    for mark, end in _reaches(event):
        for block in range(max(0, mark.start) // event.block_size, -(-end // event.block_size)):
            keys[block].append([mark.identity, mark.start - block * event.block_size])
    if event.salt and event.parent is None:
        keys[0].append(event.salt)
    return [entry or None for entry in keys]


def _reaches(event: Stored) -> Iterator[tuple[MediaMark, int]]:
    """Each picture and where it ends in the run: where its token no longer repeats, or where the next one begins."""
    starts = [mark.start for mark in event.media]
    for mark, bound in zip(event.media, [*starts[1:], len(event.token_ids)], strict=False):
        end = first = max(0, mark.start)
        while end < bound and event.token_ids[end] == event.token_ids[first]:
            end += 1
        yield mark, end
