"""Brings LoadGen's schedule and the asyncio client together: each query leaves when LoadGen issues it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import numpy as np
import numpy.typing as npt
import uvloop
from msgspec.structs import replace

from cluster.progress import Progress
from deployments.http_sessions import endpoint_session
from loadtest.client import Outcome
from loadtest.command import make_room
from loadtest.interruption import until_interrupted
from loadtest.loadgen.schedule import due_times
from loadtest.loadgen.session import run_loadgen
from loadtest.loadgen.settings import TestPlan
from loadtest.measuring import Measurement, MeasurementError, Subject, too_many_failures
from loadtest.online.asking import ask_stream
from loadtest.online.handoff import Handoff, prompt_threads
from loadtest.online.live import EVERY_S, LiveTable
from loadtest.online.reporter import Reporter
from loadtest.online.standing import Standing

MOST_IN_FLIGHT = 16_384
"""More are not sent: far above what any fleet of these benchmarks holds, and a bound on this process's sockets."""

READ_BYTES = 2**18
PREPARED_AT_ONCE = 100
"""Requests made between two words of progress."""


def measure(plan: TestPlan, subject: Subject, folder: Path, into: Measurement) -> None:
    """Runs the test; `into` fills as it goes, so that an interrupted run keeps what it has.

    Raises MeasurementError, LoadGenError, DataError.
    """
    bodies = _bodies(plan, subject)
    make_room(min(MOST_IN_FLIGHT, 2 * plan.samples))
    with prompt_threads(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_interrupted(_Session(plan, subject, bodies, into).run(folder)))


def _bodies(plan: TestPlan, subject: Subject) -> Sequence[bytes]:
    """All of them lie in memory before the test, as MLPerf's rules allow: making one would cost its query time."""
    with Progress(f"{subject.benchmark.name}: preparing requests", "requests") as progress:
        made, began = [], time.time()
        for index in range(plan.samples):
            made.append(subject.dataset.body(index, subject.served, plan.mode, stream=True))
            if len(made) % PREPARED_AT_ONCE == 0 or len(made) == plan.samples:
                progress.update(plan.samples, len(made), time.time() - began)
    return made


class _Session:
    def __init__(self, plan: TestPlan, subject: Subject, bodies: Sequence[bytes], into: Measurement) -> None:
        assert plan.online is not None, "an Offline test issues nothing on a schedule"
        self._plan, self._subject, self._bodies, self._into = plan, subject, bodies, into
        self._reporter = Reporter(plan.token_latencies)
        self._standing = Standing(plan.online)

    async def run(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        handoff = Handoff(loop)
        test = loop.create_future()

        def loadgen() -> None:
            failure: BaseException | None = None
            try:
                run_loadgen(self._plan, folder, handoff.issue)
            except BaseException as raised:
                failure = raised
            with contextlib.suppress(RuntimeError):  # the loop is gone where this test was interrupted
                handoff.close()
                loop.call_soon_threadsafe(_settle, test, failure)

        threading.Thread(target=loadgen, name="loadgen", daemon=True).start()
        call, connector = self._subject.call, aiohttp.TCPConnector(limit=MOST_IN_FLIGHT)
        cpu_before = time.process_time()
        helpers = [asyncio.create_task(self._reporter.run()), asyncio.create_task(self._show())]
        try:
            async with endpoint_session(
                call.url, call.headers, connector=connector, read_bufsize=READ_BYTES
            ) as session:
                await self._ask_all(session, handoff)
            await test
        finally:
            self._into.cpu_s = time.process_time() - cpu_before
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._date()

    async def _ask_all(self, session: aiohttp.ClientSession, handoff: Handoff) -> None:
        try:
            async with asyncio.TaskGroup() as asking:
                while issued := await handoff.wait():
                    self._into.started = self._into.started or issued[0][2]
                    self._standing.issued += len(issued)
                    for response, index, at in issued:
                        ((place, _),) = self._into.ledger.issue([response], [index], lambda _: 0.0, 1)
                        outcome = Outcome(place, index, at, at, 0, due=at)
                        asking.create_task(self._ask(session, response, outcome))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask(self, session: aiohttp.ClientSession, response: int, outcome: Outcome) -> None:
        body, subject = self._bodies[outcome.index], self._subject

        def on_first(data: bytes) -> None:
            self._reporter.first(response, data)

        known = subject.known(outcome.index)
        if known is None:
            await ask_stream(session, subject.call, subject.benchmark, outcome, body, on_first)
            subject.keep([outcome])
        else:
            # Its schedule was an earlier try's: on this one's clock it has no latency.
            outcome = replace(known, place=outcome.place, due=math.nan, first=math.nan)
            on_first(b"")
        self._into.ledger.admit([outcome])
        self._into.finished = max(self._into.finished, outcome.finished)
        self._standing.add(outcome)
        answer = outcome.answer
        # A failed sample must be completed too, or LoadGen waits for ever; its verdict is overruled later.
        self._reporter.answer(response, answer.data if answer else b"", answer.tokens if answer else 0)
        if too_many_failures(self._standing.failed, self._plan.samples):
            raise MeasurementError(f"{self._standing.failed} samples failed, the last with: {outcome.error}")

    async def _show(self) -> None:
        planned = self._plan.samples
        table = LiveTable(f"{self._subject.benchmark.name} {self._plan.scenario} {self._plan.mode}", planned)
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                if self._into.started:
                    table.show(self._standing, time.time() - self._into.started)
        finally:
            if self._into.started:
                table.show(self._standing, max(self._into.finished - self._into.started, 0.0), last=True)

    def _date(self) -> None:
        outcomes, rate = self._into.ledger.outcomes, self._plan.target_qps
        if outcomes and rate is not None:
            date(outcomes, due_times(self._plan.seeds.schedule, rate, max(outcomes) + 1))


def date(outcomes: Mapping[int, Outcome], offsets: npt.NDArray[np.float64]) -> None:
    """Sets when each query was due by LoadGen's schedule: its start is told by the query that came least late.

    `offsets`: seconds after that start, by place. An outcome without a due time was not asked in this run.
    """
    asked = {place: outcome for place, outcome in outcomes.items() if not math.isnan(outcome.due)}
    start = min((outcome.due - offsets[place] for place, outcome in asked.items()), default=math.nan)
    for place, outcome in asked.items():
        outcome.due = float(start + offsets[place])


def _settle(test: asyncio.Future[None], failure: BaseException | None) -> None:
    if test.done():
        return
    if failure is None:
        test.set_result(None)
    else:
        test.set_exception(failure)
