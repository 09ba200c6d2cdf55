"""The open loop: every request leaves when it is due, whatever became of those before it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field

import aiohttp

from cluster.progress import Progress
from deployments.http_sessions import endpoint_session
from loadtest.latency import Timing
from loadtest.replay.client import Reply, Sending, ask
from loadtest.replay.jobs import Job

PER_CHUNK = 8
CHUNKS_AHEAD = 8
"""Bodies are made this far ahead in a thread: enough for a burst, and few enough to hold pictures and clips."""

TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. Times in seconds since the replay began."""

    job: Job
    sent_s: float
    reply: Reply

    @property
    def lateness_s(self) -> float:
        """How much later it left than it was due."""
        return self.sent_s - self.job.request.at_s

    @property
    def ok(self) -> bool:
        return not self.reply.failure

    @property
    def output_tokens(self) -> int:
        """As the endpoint counts; one for each event where it does not tell."""
        return self.reply.frames if self.reply.output_tokens is None else self.reply.output_tokens

    @property
    def timing(self) -> Timing:
        """Counted from when it was due: what it was late is part of what its user waited."""
        asked = self.job.request.input_tokens
        return Timing(
            at_s=self.job.request.at_s,
            first_token_s=self.reply.first_s,
            end_s=self.reply.end_s,
            input_tokens=asked if self.reply.input_tokens is None else self.reply.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.reply.cached_tokens,
            # An answer without a single token, such as of a silent clip, has no time to first token to be judged by.
            ok=self.ok and not math.isnan(self.reply.first_s),
        )


@dataclass
class Played:
    """What happened; it fills as it goes, so that a replay cut short keeps what it has.

    Attributes:
        waited: requests that were due while as many as allowed were in flight: they left late.
        unfinished: requests given up because the replay was ended.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    issued: int = 0
    waited: int = 0
    unfinished: int = 0
    seconds: float = 0.0

    @property
    def in_flight(self) -> int:
        return self.issued - len(self.outcomes) - self.unfinished


async def play(
    jobs: Sequence[Job],
    sending: Callable[[Job], Sending],
    url: str,
    headers: Mapping[str, str],
    most_in_flight: int,
    into: Played,
    progress: Progress,
) -> None:
    """Asks all jobs of the endpoint `url` at their times. A cancellation ends it, with all that is in flight."""
    room = asyncio.Semaphore(most_in_flight)
    began: float | None = None
    ticking: asyncio.Task[None] | None = None
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    try:
        async with (
            endpoint_session(url, headers, connector=connector, read_bufsize=2**18) as session,
            aclosing(_prepared(jobs, sending)) as prepared,
            asyncio.TaskGroup() as asking,
        ):
            async for job, ready in prepared:
                if began is None:
                    began = time.perf_counter()
                    ticking = asyncio.create_task(_tick(len(jobs), began, into, progress))
                await _until(began + job.request.at_s)
                into.waited += room.locked()
                await room.acquire()
                into.issued += 1
                task = asking.create_task(_ask(session, job, ready, began, into))
                task.add_done_callback(lambda _: room.release())
    finally:
        if ticking is not None:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        if began is not None:
            into.seconds = time.perf_counter() - began
            progress.update(len(jobs), len(into.outcomes), into.seconds)


async def _ask(session: aiohttp.ClientSession, job: Job, ready: Sending, began: float, into: Played) -> None:
    sent_s = time.perf_counter() - began
    try:
        reply = await ask(session, ready)
    except asyncio.CancelledError:
        into.unfinished += 1
        raise
    reply.first_s -= began
    reply.end_s -= began
    into.outcomes.append(Outcome(job, sent_s, reply))


async def _until(due: float) -> None:
    """Never ends early, though a timer of milliseconds may."""
    while (early := due - time.perf_counter()) > 0:  # noqa: ASYNC110  # it is time that is waited for
        await asyncio.sleep(early)


async def _tick(total: int, began: float, into: Played, progress: Progress) -> None:
    while len(into.outcomes) < total:
        await asyncio.sleep(TICK_S)
        failed = sum(not outcome.ok for outcome in into.outcomes[-1000:])
        note = f"{into.in_flight} in flight" + (f", {failed} of the last failed" if failed else "")
        if len(into.outcomes) < total:
            progress.update(total, len(into.outcomes), time.perf_counter() - began, note)


async def _prepared(jobs: Sequence[Job], sending: Callable[[Job], Sending]) -> AsyncGenerator[tuple[Job, Sending]]:
    """Jobs in their order, each with what is sent, made ahead in a thread."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1, thread_name_prefix="bodies")
    making: deque[asyncio.Future[list[tuple[Job, Sending]]]] = deque()
    starts = iter(range(0, len(jobs), PER_CHUNK))

    def make(start: int) -> list[tuple[Job, Sending]]:
        return [(job, sending(job)) for job in jobs[start : start + PER_CHUNK]]

    try:
        while True:
            while len(making) < CHUNKS_AHEAD and (start := next(starts, None)) is not None:
                making.append(loop.run_in_executor(executor, make, start))
            if not making:
                return
            for pair in await making.popleft():
                yield pair
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
