"""One batch from options to its folder."""

from __future__ import annotations

import contextlib
import signal
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import ray

from cluster.checkpoints import CheckpointError
from cluster.loading import FleetError
from deployments.local_ray import join_or_start
from loadtest.batch.feeding import RPC_S, Feeder
from loadtest.batch.lines import LineError, read_lines
from loadtest.batch.replies import answer_line, failure_line
from loadtest.batch.store import ERRORS, OUTPUT, Store
from loadtest.benchmarks.base import Answer
from loadtest.client import Call, Outcome
from loadtest.command import Refused
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.measuring import MeasurementError
from loadtest.progress import Progress
from loadtest.puller import PullerJob
from loadtest.pulling import until_done
from loadtest.replay.target import Target, inspect
from loadtest.sample_queue import start_queue
from loadtest.seat import Seat
from loadtest.target import WINDOWS_PER_SLOT, ForeignLoad

FAILURES_IN_A_ROW = 200
"""After which a batch is given up: the endpoint is gone, and the rest of the lines need not fail too."""


@dataclass(frozen=True)
class Options:
    """What `python -m loadtest.batch` was told; see its --help."""

    source: Path
    output: Path
    fleet: str | None = None
    endpoint: str | None = None
    api_key: str | None = None
    model: str | None = None
    timeout_s: float = 3600.0
    attempts: int = 5
    retry_failed: bool = False
    foreign: ForeignLoad = field(default_factory=ForeignLoad)


class WholeReplies:
    """Replies as they came."""

    def answer(self, reply: bytes) -> Answer:
        return Answer(reply, 0, "")


@dataclass(frozen=True)
class Contents:
    """What a first reading of the input found."""

    lines: int
    models: dict[str, int]
    """Model -> the first line that names it."""


def run(options: Options) -> bool:
    """Asks what is not answered yet; True where nothing has failed. Raises Refused, KeyboardInterrupt."""
    try:
        contents = looked_over(options.source, options.model)
        with (
            Store(options.output, options.source, options.model) as store,
            endpoint(options.fleet, options.endpoint, mlperf=False) as url,
        ):
            if options.retry_failed:
                store.forget_failures()
            target = inspect(url, bearer(options.api_key))
            _refuse_unknown(options, contents, target)
            if len(store.answered) + len(store.failed) < contents.lines:
                _ask(options, contents, store, target)
            print(
                f"{len(store.answered)} of {contents.lines} lines answered in {options.output / OUTPUT}"
                + (f", {len(store.failed)} failed in {options.output / ERRORS}" if store.failed else "")
            )
            return not store.failed
    except (OSError, LineError, TargetError, FleetError, CheckpointError, MeasurementError) as error:
        raise Refused(str(error)) from error
    finally:
        if ray.is_initialized():
            ray.shutdown()


def looked_over(source: Path, model: str | None) -> Contents:
    """Reads every line once before any is asked. Raises LineError for what is wrong, OSError."""
    seen: dict[str, int] = {}
    models: dict[str, int] = {}
    for line in read_lines(source, model):
        if (before := seen.get(line.custom_id)) is not None:
            raise LineError(f"{source}:{line.number}: custom_id '{line.custom_id}' is that of line {before} too")
        seen[line.custom_id] = line.number
        models.setdefault(line.model, line.number)
    if not seen:
        raise LineError(f"{source}: there is no line in it")
    return Contents(len(seen), models)


def _refuse_unknown(options: Options, contents: Contents, target: Target) -> None:
    known = {name for model in target.models for name in model.names}
    for name, number in contents.models.items():
        if name not in known:
            raise Refused(
                f"{options.source}:{number}: {target.url} serves no model '{name}'; it serves "
                f"{', '.join(sorted(known))}. --model NAME asks that one for every line"
            )


def seats(options: Options, target: Target, models: dict[str, int]) -> tuple[Seat, ...]:
    """A puller for each replica of the models that are asked, or as many as the user wants for endpoints of others."""
    asked = {model.name for model in target.models if set(model.names) & models.keys()}
    replicas = [
        replica
        for model in (target.fleet or {}).get("models", ())
        if model["name"] in asked
        for replica in model["replicas"]
    ]
    if replicas:
        return tuple(Seat(replica["replica"], WINDOWS_PER_SLOT * replica["slots"]) for replica in replicas)
    return tuple(Seat(f"puller-{number}", options.foreign.window) for number in range(options.foreign.pullers))


def _ask(options: Options, contents: Contents, store: Store, target: Target) -> None:
    join_or_start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    samples = start_queue()
    feeder = Feeder(read_lines(options.source, options.model), store, samples)
    headers = {"Content-Type": "application/json", **bearer(options.api_key)}
    call = Call(target.url, headers, options.timeout_s, options.attempts, routed=True)
    job = PullerJob(WholeReplies(), call, samples)
    already, began, in_a_row = len(store.answered) + len(store.failed), time.time(), 0
    try:
        feeder.start()
        with (
            Progress("batch", "lines") as progress,
            closing(until_done(feeder, job, seats(options, target, contents.models))) as frames,
        ):
            for frame in frames:
                failed = _book(frame, feeder, store, samples)
                in_a_row = 0 if failed < len(frame) else in_a_row + failed
                if in_a_row >= FAILURES_IN_A_ROW:
                    raise MeasurementError(
                        f"{in_a_row} lines in a row failed, the last with: {frame[-1].error}. --retry-failed goes on"
                    )
                done = len(store.answered) + len(store.failed) - already
                progress.update(contents.lines - already, done, time.time() - began, f"{len(store.failed)} failed")
        feeder.join()
    finally:
        feeder.stop()
        with contextlib.suppress(Exception):  # a cut-off cluster must not hide what went wrong
            ray.get(samples.abort.remote(), timeout=5)
        ray.kill(samples)


def _book(frame: list[Outcome], feeder: Feeder, store: Store, samples: Any) -> int:
    """Writes each answer once, then lets the queue forget it; how many of the frame failed."""
    answers, failures = [], []
    for outcome in frame:
        custom_id = feeder.settle(outcome.place)
        if custom_id is None:
            continue  # a puller that was slow rather than dead: another one's answer is written already
        try:
            if outcome.answer is None:
                failures.append(failure_line(custom_id, outcome.error))
            else:
                answers.append(answer_line(custom_id, outcome))
        except msgspec.DecodeError as error:
            failures.append(failure_line(custom_id, f"the reply is no JSON: {error}"))
    store.add(answers, failures)
    ray.get(samples.confirm.remote([outcome.place for outcome in frame]), timeout=RPC_S)
    return sum(outcome.answer is None for outcome in frame)
