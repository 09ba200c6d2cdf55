"""One puller: keeps its window of requests full from the queue, and yields outcomes while it works."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import uvloop

from deployments.http_sessions import endpoint_session
from loadtest.benchmarks.base import ReplyReader
from loadtest.client import Call, Outcome, ask
from loadtest.sample_queue import Bodies, Taken

MOST_PER_TAKE = 32
RENEW_S = 2.0
"""A full window still asks for nothing this often, to keep its lease."""

GATHER_S = 0.005
"""Room is gathered this long before more is taken, so that a busy puller asks once for several samples. The endpoint
has a second window of requests queued meanwhile."""

MOST_PER_FRAME = 256
MOST_HELD = 4096
MOST_FRAMES = 64
"""Outcomes and encoded frames that may wait for the driver before no more samples are taken."""

JOIN_S = 10.0

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Outcome])


@dataclass(frozen=True)
class PullerJob:
    """What every puller of a job is told."""

    reader: ReplyReader
    call: Call
    samples: Any
    """Handle of the queue actor."""


def decode_frame(frame: bytes) -> list[Outcome]:
    return _decoder.decode(frame)


class Puller:
    """Runs in its own event loop in its own thread, so that Ray's handling of a yielded frame never stalls requests."""

    def __init__(self, job: PullerJob, name: str, window: int, flush_s: float) -> None:
        self._job = job
        self._name = name
        self._window = window
        self._flush_s = flush_s
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._held: list[Outcome] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None

    def frames(self) -> Iterator[bytes]:
        """Outcomes in encoded batches, until the queue says stop. Raises what made the puller itself fail."""
        thread = threading.Thread(target=self._thread, name=self._name, daemon=True)
        thread.start()
        try:
            while (frame := self._frames.get()) is not None:
                yield frame
            if self._failure is not None:
                raise self._failure
        finally:
            if (main := self._main) is not None:
                with contextlib.suppress(RuntimeError):  # its loop has ended already
                    main.get_loop().call_soon_threadsafe(main.cancel)
            thread.join(JOIN_S)

    def _thread(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._run())
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as failures:
            self._failure = failures.exceptions[0]
        except BaseException as failure:
            self._failure = failure
        finally:
            self._frames.put(None)

    async def _run(self) -> None:
        self._main = asyncio.current_task()
        self._room = asyncio.Event()
        bodies: Bodies = await self._job.samples.bodies.remote()
        connector = aiohttp.TCPConnector(limit=self._window)
        try:
            # The group ends the puller where one of its tasks fails: a lease must not outlive the work on it.
            async with (
                endpoint_session(self._job.call.url, self._job.call.headers, connector=connector) as session,
                asyncio.TaskGroup() as group,
            ):
                flusher = group.create_task(self._flush_regularly())
                await self._feed(group, session, bodies)
                for task in (flusher, *self._asking):
                    task.cancel()
        finally:
            self._flush(last=True)

    async def _feed(self, group: asyncio.TaskGroup, session: aiohttp.ClientSession, bodies: Bodies) -> None:
        while True:
            free = self._window - len(self._asking) if len(self._held) < MOST_HELD else 0
            taken = await self._job.samples.take.remote(self._name, min(free, MOST_PER_TAKE))
            if taken is None:
                return
            for item in taken:
                task = group.create_task(self._ask(session, bodies, item))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            if free <= len(taken):
                self._room.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_S):
                        await self._room.wait()
                await asyncio.sleep(GATHER_S)

    async def _ask(self, session: aiohttp.ClientSession, bodies: Bodies, item: Taken) -> None:
        place, index, *inline = item
        body = inline[0] if inline else await bodies.read(index)
        outcome = await ask(session, self._job.call, self._job.reader, place, index, body)
        self._held.append(outcome)
        self._room.set()
        # The last one of a lull goes out at once: nothing else will fill its frame.
        if len(self._held) >= MOST_PER_FRAME or len(self._asking) == 1:
            self._flush()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            self._flush()

    def _flush(self, last: bool = False) -> None:
        if self._held and (self._frames.qsize() < MOST_FRAMES or last):
            self._frames.put(_encoder.encode(self._held))
            self._held = []
            self._room.set()
