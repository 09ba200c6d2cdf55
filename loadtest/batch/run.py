"""One batch from options to its folder."""

from __future__ import annotations

import contextlib
import signal
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.checkpoints import CheckpointError
from cluster.loading import FleetError
from cluster.progress import Progress
from deployments.local_ray import join_or_start
from loadtest.batch.feeding import RPC_S, Feeder
from loadtest.batch.lines import LineError, read_lines
from loadtest.batch.replies import WholeReplies, output_line
from loadtest.batch.served import Served, look_up
from loadtest.batch.store import ERRORS, OUTPUT, Store
from loadtest.client import RETRIED_STATUS, Call, Outcome
from loadtest.command import Refused
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.measuring import MeasurementError
from loadtest.puller import PullerJob
from loadtest.pulling import until_done
from loadtest.sample_queue import start_queue
from loadtest.target import ForeignLoad

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


@dataclass(frozen=True)
class Contents:
    """What a first reading of the input found."""

    lines: int
    models: dict[str, int]
    """Model -> the first line that names it."""


def run(options: Options) -> bool:
    """Asks what is not answered yet; True where every line is answered. Raises Refused, KeyboardInterrupt."""
    try:
        contents = looked_over(options.source, options.model)
        with Store(options.output, options.source, contents.lines, options.model) as store:
            if store.open or (options.retry_failed and store.failed):
                with endpoint(options.fleet, options.endpoint, mlperf=False) as url:
                    served = look_up(url, bearer(options.api_key))
                    refuse_unknown(options.source, contents, served)
                    if options.retry_failed:
                        store.forget_failures()
                    _ask(options, contents, store, served)
            print(_told(options.output, contents, store))
            return len(store.answered) == contents.lines
    except RayError as error:
        raise Refused(f"Ray has failed; the same command goes on from here: {error}") from error
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


def refuse_unknown(source: Path, contents: Contents, served: Served) -> None:
    """Raises TargetError where a line names a model that is not served."""
    for name, number in contents.models.items():
        if name not in served.names:
            raise TargetError(
                f"{source}:{number}: {served.url} serves no model '{name}'; it serves "
                f"{', '.join(sorted(served.names)) or 'none at all'}. --model NAME asks that one for every line"
            )


def _told(folder: Path, contents: Contents, store: Store) -> str:
    answered = f"{len(store.answered)} of {contents.lines} lines answered in {folder / OUTPUT}"
    if not store.failed:
        return answered
    return f"{answered}, {len(store.failed)} failed in {folder / ERRORS}; --retry-failed asks those again"


def _ask(options: Options, contents: Contents, store: Store, served: Served) -> None:
    join_or_start()
    # Ray would end the process on SIGTERM without a word.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    samples = start_queue()
    feeder = Feeder(read_lines(options.source, options.model), store, samples)
    headers = {"Content-Type": "application/json", **bearer(options.api_key)}
    call = Call(served.url, headers, options.timeout_s, options.attempts, routed=True)
    job = PullerJob(WholeReplies(), call, samples)
    wanted, began, in_a_row = store.open, time.monotonic(), 0
    try:
        feeder.start()
        with (
            Progress("batch", "lines") as progress,
            closing(until_done(feeder, job, served.seats(contents.models, options.foreign))) as frames,
        ):
            for frame in frames:
                unreached = _book(frame, feeder, store, samples)
                in_a_row = 0 if unreached < len(frame) else in_a_row + unreached
                if in_a_row >= FAILURES_IN_A_ROW:
                    raise MeasurementError(
                        f"{in_a_row} lines in a row failed, the last with: {frame[-1].error}. --retry-failed goes on"
                    )
                failed = f"{len(store.failed)} failed"
                progress.update(wanted, wanted - store.open, time.monotonic() - began, failed)
        feeder.join()
    finally:
        feeder.stop()
        with contextlib.suppress(Exception):  # a cut-off cluster must not hide what went wrong
            ray.get(samples.abort.remote(), timeout=5)
        ray.kill(samples)


def _book(frame: list[Outcome], feeder: Feeder, store: Store, samples: Any) -> int:
    """Writes each line's outcome once, then lets the queue forget it; for how many the endpoint was not there."""
    answers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for outcome in frame:
        custom_id = feeder.settle(outcome.place)
        if custom_id is None:
            continue  # a puller that was slow rather than dead: another one's answer is written already
        (failures if outcome.answer is None else answers).append(output_line(custom_id, outcome))
    store.add(answers, failures)
    ray.get(samples.confirm.remote([outcome.place for outcome in frame]), timeout=RPC_S)
    return sum(outcome.answer is None and outcome.status in (0, *RETRIED_STATUS) for outcome in frame)
