"""What a cache reporter says to gateways, and how it is on the wire: MessagePack with arrays of little-endian numbers.

A report holds what changed from one sequence number to the next; one that changes nothing says that the reporter
lives, and how far it is. A snapshot holds everything at one sequence number, in parts. No token id is in either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Self, TypeVar

import msgspec
import numpy as np

from deployments.kv_cache.replay_protocol import FeedState
from deployments.routing.cache_change import CacheChange

KEY = np.dtype("<u8")
DEPTH = np.dtype("<u4")
KEYS_IN_PART = 4_096
"""Keys in one part of a snapshot: what a gateway takes in without a pause."""


Message = TypeVar("Message")


class UnreadableReport(ValueError):
    """A message that is no report, no part of a snapshot and no request for one."""


class Header(msgspec.Struct, array_like=True, frozen=True):
    """Who reports, and how far it is.

    Attributes:
        reporter: another one is another process, whose sequence numbers say nothing of this one's.
        keying: `PrefixKeys.fingerprint` of the keys that it makes.
        sequence: number of the last change that is included.
        state: how far the reporter itself is behind its engine.
    """

    reporter: bytes
    keying: bytes
    sequence: int
    state: FeedState


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What changed since sequence number `base`; nothing where that is the header's own."""

    header: Header
    base: int
    cleared: bool = False
    stored: bytes = b""
    depths: bytes = b""
    removed: bytes = b""
    stored_blocks: int = 0
    removed_blocks: int = 0

    @classmethod
    def of(cls, header: Header, base: int, change: CacheChange) -> Self:
        return cls(
            header,
            base,
            change.cleared,
            _octets(change.stored, KEY),
            _octets(change.depths, DEPTH),
            _octets(change.removed, KEY),
            change.stored_blocks,
            change.removed_blocks,
        )

    def change(self) -> CacheChange:
        """Raises UnreadableReport where its arrays do not fit together."""
        stored, depths = _entries(self.stored, self.depths)
        removed = _numbers(self.removed, KEY)
        return CacheChange(stored, depths, removed, self.cleared, self.stored_blocks, self.removed_blocks)


class SnapshotPart(msgspec.Struct, array_like=True, frozen=True):
    """Part number `part` of `parts`, in answer to the request of that number."""

    header: Header
    request: int
    part: int
    parts: int
    keys: bytes
    depths: bytes

    def contents(self) -> tuple[list[int], list[int]]:
        """Keys, and for each how many come before it. Raises UnreadableReport where they do not fit together."""
        return _entries(self.keys, self.depths)


class SnapshotRequest(msgspec.Struct, array_like=True, frozen=True):
    """Asks for all that the reporter knows. The number is the client's own, and comes back in each part."""

    request: int


def snapshot(header: Header, request: int, held: Mapping[int, int]) -> Iterator[SnapshotPart]:
    """All parts: at least one."""
    parts = max(1, -(-len(held) // KEYS_IN_PART))
    left = iter(held.items())
    for part in range(parts):
        entries = dict(islice(left, KEYS_IN_PART))
        yield SnapshotPart(header, request, part, parts, _octets(entries, KEY), _octets(entries.values(), DEPTH))


encode = msgspec.msgpack.Encoder().encode
_reports = msgspec.msgpack.Decoder(Report)
_parts = msgspec.msgpack.Decoder(SnapshotPart)
_requests = msgspec.msgpack.Decoder(SnapshotRequest)


def decode_report(message: bytes) -> Report:
    """Raises UnreadableReport."""
    return _decoded(_reports, message)


def decode_part(message: bytes) -> SnapshotPart:
    """Raises UnreadableReport."""
    return _decoded(_parts, message)


def decode_request(message: bytes) -> SnapshotRequest:
    """Raises UnreadableReport."""
    return _decoded(_requests, message)


def _decoded(decoder: msgspec.msgpack.Decoder[Message], message: bytes) -> Message:
    try:
        return decoder.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableReport(f"{len(message)} bytes that no cache reporter of this version sends: {error}") from error


def _octets(numbers: Iterable[int], kind: np.dtype[np.unsignedinteger]) -> bytes:
    return np.fromiter(numbers, kind).tobytes()


def _numbers(octets: bytes, kind: np.dtype[np.unsignedinteger]) -> list[int]:
    if len(octets) % kind.itemsize:
        raise UnreadableReport(f"{len(octets)} bytes are no array of numbers of {kind.itemsize} bytes")
    numbers: list[int] = np.frombuffer(octets, kind).tolist()
    return numbers


def _entries(keys: bytes, depths: bytes) -> tuple[list[int], list[int]]:
    found = _numbers(keys, KEY), _numbers(depths, DEPTH)
    if len(found[0]) != len(found[1]):
        raise UnreadableReport(f"{len(found[0])} keys with {len(found[1])} depths")
    return found
