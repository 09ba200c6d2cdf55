"""The one queue of a test, as a Ray actor, and the samples' request bodies in Ray's object store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from loadtest.leases import Item, LeaseQueue

LEASE_S = 10.0
WAIT_S = 1.0
"""Longest wait of a puller that finds the queue empty; far below the lease, which it renews by asking."""

Taken = Item | tuple[int, int, bytes]
"""A sample as a puller gets it: with its request body, where that does not lie in the object store."""

CHUNK_BYTES = 8 * 2**20
MAX_CALLS = 10_000
"""Pullers and driver ask at the same time; each waiting `take` is one call in progress."""


@dataclass(frozen=True)
class Bodies:
    """Request bodies in chunks: body i is bytes `offsets[i] .. offsets[i + 1]` of the object `chunks[chunk_of[i]]`,
    counted from that chunk's first body. Chunks are numpy arrays, which readers on a node share without a copy."""

    chunks: list[Any]
    chunk_of: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    async def read(self, index: int) -> bytes:
        chunk = await self.chunks[self.chunk_of[index]]
        return bytes(chunk[self.starts[index] : self.ends[index]])


def store_bodies(bodies: Iterable[bytes], chunk_bytes: int = CHUNK_BYTES) -> Bodies:
    """Puts bodies into Ray's object store, never more than one chunk of them in this process at a time."""
    chunks: list[Any] = []
    chunk_of, starts, ends = [], [], []
    filling = bytearray()
    for body in bodies:
        if filling and len(filling) + len(body) > chunk_bytes:
            chunks.append(ray.put(np.frombuffer(bytes(filling), dtype=np.uint8)))
            filling.clear()
        chunk_of.append(len(chunks))
        starts.append(len(filling))
        filling += body
        ends.append(len(filling))
    chunks.append(ray.put(np.frombuffer(bytes(filling), dtype=np.uint8)))
    return Bodies(chunks, np.array(chunk_of, np.int64), np.array(starts, np.int64), np.array(ends, np.int64))


class QueueServer:
    """`LeaseQueue` for many processes. Becomes an actor by `start_queue`."""

    def __init__(self, bodies: Bodies | None) -> None:
        self._leases = LeaseQueue(LEASE_S)
        self._bodies = bodies
        self._inline: dict[int, bytes] = {}
        self._aborted = False
        self._news = asyncio.Condition()

    async def bodies(self) -> Bodies | None:
        return self._bodies

    async def take(self, holder: str, most: int) -> list[Taken] | None:
        """Samples for a puller; [] where there is none right now, None where it is to stop."""
        taken = self._leases.take(holder, most)
        if not taken and most > 0 and not self._over():
            async with self._news:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_S):
                        await self._news.wait()
            taken = self._leases.take(holder, most)
        if self._over():
            return None
        return [(*item, self._inline[item[0]]) for item in taken] if self._bodies is None else list(taken)

    async def put(self, items: Sequence[Item], bodies: Sequence[bytes] = ()) -> None:
        """`bodies`: of these items, where the queue was started without any. They stay here until confirmed."""
        self._inline.update((item[0], body) for item, body in zip(items, bodies, strict=bool(bodies)))
        self._leases.put(items)
        await self._tell()

    async def confirm(self, places: Sequence[int]) -> None:
        self._leases.confirm(places)
        for place in places:
            self._inline.pop(place, None)
        if self._over():
            await self._tell()

    async def close(self) -> None:
        self._leases.close()
        await self._tell()

    async def abort(self) -> None:
        """Sends every puller home, whatever is left."""
        self._aborted = True
        await self._tell()

    async def holders(self) -> int:
        return self._leases.holders

    def _over(self) -> bool:
        return self._aborted or self._leases.finished

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def start_queue(bodies: Bodies | None = None) -> Any:
    """An actor of `QueueServer` that reserves nothing. Without `bodies` they come with the samples."""
    return ray.remote(QueueServer).options(num_cpus=0, max_concurrency=MAX_CALLS).remote(bodies)
