"""What a cache reporter says to gateways, and how it is on the wire: MessagePack with arrays of little-endian numbers.

A report holds what changed from one sequence number to the next; one that changes nothing says that the reporter
lives, and how far it is. A snapshot holds everything at one sequence number, in parts. No token id is in either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Self, TypeVar

import msgspec
import numpy as np

from deployments.kv_cache.replay_protocol import FeedState
from deployments.routing.cache_change import CacheChange

KEY = np.dtype("<u8")
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
    removed: bytes = b""
    stored_blocks: int = 0
    removed_blocks: int = 0

    @classmethod
    def of(cls, header: Header, base: int, change: CacheChange) -> Self:
        return cls(
            header,
            base,
            change.cleared,
            _octets(change.stored),
            _octets(change.removed),
            change.stored_blocks,
            change.removed_blocks,
        )

    def change(self) -> CacheChange:
        """Raises UnreadableReport where its arrays are none."""
        stored, removed = _numbers(self.stored), _numbers(self.removed)
        return CacheChange(stored, removed, self.cleared, self.stored_blocks, self.removed_blocks)


class SnapshotPart(msgspec.Struct, array_like=True, frozen=True):
    """Part number `part` of `parts`, in answer to the request of that number."""

    header: Header
    request: int
    part: int
    parts: int
    keys: bytes

    def contents(self) -> list[int]:
        """Its keys. Raises UnreadableReport where they are no array."""
        return _numbers(self.keys)


class SnapshotRequest(msgspec.Struct, array_like=True, frozen=True):
    """Asks for all that the reporter knows. The number is the client's own, and comes back in each part."""

    request: int


def snapshot(header: Header, request: int, held: Collection[int]) -> Iterator[SnapshotPart]:
    """All parts: at least one."""
    parts = max(1, -(-len(held) // KEYS_IN_PART))
    left = iter(held)
    for part in range(parts):
        yield SnapshotPart(header, request, part, parts, _octets(islice(left, KEYS_IN_PART)))


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


def _octets(keys: Iterable[int]) -> bytes:
    return np.fromiter(keys, KEY).tobytes()


def _numbers(octets: bytes) -> list[int]:
    if len(octets) % KEY.itemsize:
        raise UnreadableReport(f"{len(octets)} bytes are no array of numbers of {KEY.itemsize} bytes")
    numbers: list[int] = np.frombuffer(octets, KEY).tolist()
    return numbers
