"""Brings LoadGen and the Ray Data job together: issues go to the queue, outcomes to LoadGen."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from loadtest.benchmarks.base import Benchmark, Dataset, Served
from loadtest.client import Call, Outcome
from loadtest.ledger import Ledger
from loadtest.loadgen.offline import FEWEST_TOKENS, complete, run_offline
from loadtest.loadgen.settings import TestPlan
from loadtest.progress import Progress
from loadtest.puller import PullerJob
from loadtest.ray_job import Seat, outcomes
from loadtest.sample_queue import start_queue, store_bodies

PULLERS_READY_S = 180.0
BARREN_JOBS = 3
"""Jobs in a row that end with samples open and nothing answered, before the test is given up."""

LOADGEN_ENDS_S = 5.0

LEAST_FAILURES = 10
FAILED_SHARE = 0.01
RPC_S = 30.0


class MeasurementError(RuntimeError):
    """The test could not be brought to its end. What was measured so far is kept."""


@dataclass
class Measurement:
    """What happened, also of a test that was cut short."""

    ledger: Ledger = field(default_factory=Ledger)
    started: float = 0.0
    """When LoadGen issued its first query, in seconds since the epoch; 0 before that."""
    finished: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.ledger.outcomes.values() if outcome.answer is None]

    @property
    def short_answers(self) -> int:
        """Answers of fewer tokens than LoadGen can take: they were reported as two tokens long."""
        answers = (outcome.answer for outcome in self.ledger.outcomes.values())
        return sum(answer is not None and answer.tokens < FEWEST_TOKENS for answer in answers)


@dataclass(frozen=True)
class Subject:
    """What is asked, where, and how."""

    benchmark: Benchmark
    dataset: Dataset
    served: Served
    call: Call
    seats: tuple[Seat, ...]


def measure(plan: TestPlan, subject: Subject, folder: Path, into: Measurement) -> None:
    """Runs the test; `into` fills as it goes, so that an interrupted run keeps what it has. Needs a connected Ray.

    Raises MeasurementError, LoadGenError, DataError.
    """
    dataset, served = subject.dataset, subject.served
    bodies = store_bodies(dataset.body(index, served, plan.mode) for index in range(plan.samples))
    work = [dataset.work(index) for index in range(plan.samples)]
    samples = start_queue(bodies)
    test = _LoadGenThread(plan, folder, samples, work, len(subject.seats), into)
    try:
        test.start()
        job = PullerJob(subject.benchmark.name, subject.call, samples)
        with (
            Progress(f"{subject.benchmark.name} {plan.mode}") as progress,
            closing(_until_done(test, job, subject.seats)) as frames,
        ):
            _settle(frames, plan, samples, into, progress)
        test.join()
    finally:
        with contextlib.suppress(Exception):  # a cut-off cluster must not hide what went wrong
            ray.get(samples.abort.remote(), timeout=5)
        ray.kill(samples)


def _settle(
    frames: Iterable[list[Outcome]], plan: TestPlan, samples: Any, into: Measurement, progress: Progress
) -> None:
    """Books every outcome once, tells LoadGen and the queue."""
    allowed = max(LEAST_FAILURES, int(FAILED_SHARE * plan.samples))
    failed = 0
    confirmed = None
    for frame in frames:
        fresh = into.ledger.admit(frame)
        into.finished = max([into.finished, *(outcome.finished for _, outcome in fresh)])
        failed += sum(outcome.answer is None for _, outcome in fresh)
        if failed > allowed:
            raise MeasurementError(f"{failed} samples failed, the last with: {_last_error(fresh)}")
        progress.update(into.ledger.issued, len(into.ledger.outcomes), time.time() - into.started)
        if confirmed is not None:
            ray.get(confirmed, timeout=RPC_S)
        # Confirmed before completed: LoadGen ends the test, and the queue with it, on its last completion.
        confirmed = samples.confirm.remote([outcome.place for _, outcome in fresh])
        if fresh:
            complete([_response(response, outcome) for response, outcome in fresh])


def _response(response: int, outcome: Outcome) -> tuple[int, bytes, int]:
    """A failed sample must be completed too, or LoadGen waits for ever; its verdict is overruled later."""
    return (response, outcome.answer.data, outcome.answer.tokens) if outcome.answer else (response, b"", 0)


def _last_error(fresh: Sequence[tuple[int, Outcome]]) -> str:
    return next(outcome.error for _, outcome in reversed(fresh) if outcome.answer is None)


def _until_done(test: _LoadGenThread, job: PullerJob, seats: Sequence[Seat]) -> Generator[list[Outcome]]:
    """Outcomes of one job after the other, until LoadGen has all its answers. One job is the rule; a further one
    starts only where all pullers of the one before died."""
    barren = 0
    while test.running:
        answered = False
        with closing(outcomes(job, seats)) as frames:
            for frame in frames:
                answered = True
                yield frame
        # Pullers go home when LoadGen has all its answers; it needs a moment more to write its figures.
        test.join(LOADGEN_ENDS_S)
        barren = 0 if answered else barren + 1
        if test.running and barren >= BARREN_JOBS:
            raise MeasurementError("all pullers died before they answered anything; Ray's log tells why (see above)")


class _LoadGenThread:
    """LoadGen's own thread: it blocks there for the whole test, while Ray's results are taken in the main thread."""

    def __init__(
        self, plan: TestPlan, folder: Path, samples: Any, work: Sequence[float], pullers: int, into: Measurement
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._samples = samples
        self._work = work
        self._pullers = pullers
        self._into = into
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="loadgen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> None:
        """Waits for its end. Raises what ended it, if something did."""
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._wait_for_pullers()
            run_offline(self._plan, self._folder, self._issue)
        except BaseException as failure:
            self._failure = failure
        finally:
            with contextlib.suppress(Exception):  # where the queue is gone, the job has ended already
                ray.get(self._samples.close.remote(), timeout=RPC_S)

    def _wait_for_pullers(self) -> None:
        """Starting workers is no part of the test."""
        deadline = time.monotonic() + PULLERS_READY_S
        while (ready := ray.get(self._samples.holders.remote(), timeout=RPC_S)) < self._pullers:
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"only {ready} of {self._pullers} pullers started within {PULLERS_READY_S:g} s; "
                    "look at `ray status`: the cluster has no room for their worker processes"
                )
            time.sleep(0.05)

    def _issue(self, responses: Sequence[int], indexes: Sequence[int]) -> None:
        self._into.started = self._into.started or time.time()
        items = self._into.ledger.issue(responses, indexes, self._work.__getitem__, self._plan.samples)
        ray.get(self._samples.put.remote(items), timeout=RPC_S)
