"""An Offline test: brings LoadGen and the Ray Data job together. Issues go to the queue, outcomes to LoadGen."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
from msgspec.structs import replace

from cluster.progress import Progress
from deployments.local_ray import join_or_start
from loadtest.client import Outcome
from loadtest.loadgen.session import COMPLETION_GAP_S, complete, run_loadgen
from loadtest.loadgen.settings import TestPlan
from loadtest.measuring import Measurement, MeasurementError, Subject, too_many_failures
from loadtest.puller import PullerJob
from loadtest.pulling import until_done
from loadtest.sample_queue import start_queue, store_bodies

PULLERS_READY_S = 180.0
KNOWN_AT_ONCE = 256
"""Answers of an earlier try that are settled in one batch."""

RPC_S = 30.0


def measure(plan: TestPlan, subject: Subject, folder: Path, into: Measurement) -> None:
    """Runs the test; `into` fills as it goes, so that an interrupted run keeps what it has.

    Raises MeasurementError, LoadGenError, DataError.
    """
    join_or_start()
    # Ray would end the process on SIGTERM without a word: an orderly end keeps what was measured.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    dataset, served = subject.dataset, subject.served
    bodies = store_bodies(dataset.body(index, served, plan.mode) for index in range(plan.samples))
    work = [dataset.work(index) for index in range(plan.samples)]
    samples = start_queue(bodies)
    books = _Books(plan, subject, samples, into)
    test = _LoadGenThread(plan, folder, work, len(subject.seats), books)
    try:
        test.start()
        job = PullerJob(subject.benchmark, subject.call, samples)
        with (
            Progress(f"{subject.benchmark.name} {plan.mode}") as progress,
            closing(until_done(test, job, subject.seats)) as frames,
        ):
            for frame in frames:
                books.settle(frame)
                progress.update(into.ledger.issued, len(into.ledger.outcomes), time.time() - into.started)
        test.join()
    finally:
        with contextlib.suppress(Exception):  # a cut-off cluster must not hide what went wrong
            ray.get(samples.abort.remote(), timeout=5)
        ray.kill(samples)


class _Books:
    """Books every outcome once, tells LoadGen and the queue. Used by LoadGen's thread and by that of Ray's results."""

    def __init__(self, plan: TestPlan, subject: Subject, samples: Any, into: Measurement) -> None:
        self.into = into
        self.samples = samples
        self._plan = plan
        self._subject = subject
        self._lock = threading.Lock()
        self._confirmed: Any = None
        self._failed = 0

    def issue(self, responses: Sequence[int], indexes: Sequence[int], work: Sequence[float]) -> None:
        """Puts a query's samples into the queue, and settles those that an earlier try answered."""
        self.into.started = self.into.started or time.time()
        with self._lock:
            items = self.into.ledger.issue(responses, indexes, work.__getitem__, self._plan.samples)
        known = {place: outcome for place, index in items if (outcome := self._subject.known(index)) is not None}
        ray.get(self.samples.put.remote([item for item in items if item[0] not in known]), timeout=RPC_S)
        if known:
            earlier = [replace(outcome, place=place) for place, outcome in known.items()]
            threading.Thread(target=self._settle_known, args=(earlier,), name="earlier answers", daemon=True).start()

    def settle(self, frame: Iterable[Outcome]) -> None:
        """Raises MeasurementError where too many samples have failed."""
        with self._lock:
            self._settle(frame)

    def _settle_known(self, earlier: Sequence[Outcome]) -> None:
        for start in range(0, len(earlier), KNOWN_AT_ONCE):
            self.settle(earlier[start : start + KNOWN_AT_ONCE])

    def _settle(self, frame: Iterable[Outcome]) -> None:
        fresh = self.into.ledger.admit(frame)
        outcomes = [outcome for _, outcome in fresh]
        self._subject.keep(outcomes)
        self.into.finished = max([self.into.finished, *(outcome.finished for outcome in outcomes)])
        self._failed += sum(outcome.answer is None for outcome in outcomes)
        if too_many_failures(self._failed, self._plan.samples):
            raise MeasurementError(f"{self._failed} samples failed, the last with: {_last_error(fresh)}")
        if self._confirmed is not None:
            ray.get(self._confirmed, timeout=RPC_S)
        # Confirmed before completed: LoadGen ends the test, and the queue with it, on its last completion.
        self._confirmed = self.samples.confirm.remote([outcome.place for outcome in outcomes])
        if fresh:
            time.sleep(COMPLETION_GAP_S)
            complete([_response(response, outcome) for response, outcome in fresh])


def _response(response: int, outcome: Outcome) -> tuple[int, bytes, int]:
    """A failed sample must be completed too, or LoadGen waits for ever; its verdict is overruled later."""
    return (response, outcome.answer.data, outcome.answer.tokens) if outcome.answer else (response, b"", 0)


def _last_error(fresh: Sequence[tuple[int, Outcome]]) -> str:
    return next(outcome.error for _, outcome in reversed(fresh) if outcome.answer is None)


class _LoadGenThread:
    """LoadGen's own thread: it blocks there for the whole test, while Ray's results are taken in the main thread."""

    def __init__(self, plan: TestPlan, folder: Path, work: Sequence[float], pullers: int, books: _Books) -> None:
        self._plan = plan
        self._folder = folder
        self._samples = books.samples
        self._work = work
        self._pullers = pullers
        self._books = books
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
            run_loadgen(self._plan, self._folder, self._issue)
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
        self._books.issue(responses, indexes, self._work)
