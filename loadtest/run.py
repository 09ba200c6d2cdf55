"""One run from options to a results folder."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path

import ray

from cluster.checkpoints import CheckpointError
from cluster.loading import FleetError
from deployments.local_ray import join_or_start
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Benchmark, DataError, Dataset, Mode, Score
from loadtest.client import Call
from loadtest.command import Refused
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.loadgen.log import read_log, read_responses
from loadtest.loadgen.settings import LoadGenError, TestPlan
from loadtest.measure import Measurement, MeasurementError, Subject, measure
from loadtest.report.page import page
from loadtest.report.text import text_table
from loadtest.results import REPORT, new_run_folder, write_samples, write_summary, write_text
from loadtest.summary import conclude, label, summarise
from loadtest.target import ForeignLoad, Target, inspect
from loadtest.verdict import judge


@dataclass(frozen=True)
class Options:
    """What `python -m loadtest.offline` was told; see its --help."""

    benchmark: str
    mode: Mode = Mode.PERFORMANCE
    quick: bool = False
    fleet: str | None = None
    endpoint: str | None = None
    model: str | None = None
    data: Path | None = None
    out: Path = Path("results")
    target_qps: float | None = None
    timeout_s: float = 3600.0
    attempts: int = 5
    api_key: str | None = None
    foreign: ForeignLoad = field(default_factory=ForeignLoad)


def run(options: Options) -> bool:
    """Runs one test and prints its table; True for a valid result. Raises Refused, KeyboardInterrupt."""
    try:
        tested = benchmark(options.benchmark)
        dataset = tested.load(options.data, options.mode, tested.quick_samples if options.quick else None)
        with endpoint(options.fleet, options.endpoint) as url:
            target = inspect(url, tested, options.model, options.foreign, bearer(options.api_key))
            if not options.quick:
                target.refuse_reuse()
            join_or_start()
            # Ray would end the process on SIGTERM without a word: an orderly end keeps what was measured.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            return _test(options, tested, dataset, target)
    except (DataError, TargetError, FleetError, CheckpointError, LoadGenError, MeasurementError) as error:
        raise Refused(str(error)) from error
    finally:
        if ray.is_initialized():
            ray.shutdown()


def _test(options: Options, tested: Benchmark, dataset: Dataset, target: Target) -> bool:
    plan = TestPlan(tested.official, options.mode, len(dataset), options.quick, options.target_qps)
    call = Call(
        url=target.url + tested.path,
        headers={"Content-Type": tested.content_type, **bearer(options.api_key)},
        timeout_s=options.timeout_s,
        attempts=options.attempts,
    )
    subject = Subject(tested, dataset, target.served, call, target.seats)
    quick = "-quick" if options.quick else ""
    folder = new_run_folder(options.out, f"{tested.name}-offline-{options.mode}{quick}")
    measured = Measurement()
    summary = summarise(plan, target, subject, measured, "failed")
    try:
        measure(plan, subject, folder, measured)
        facts = read_log(plan, folder)
        verdict = judge(plan, target, dataset, facts, measured)
        score = _score(plan, dataset, measured, folder)
        complete = summarise(plan, target, subject, measured, "complete")
        summary = conclude(complete, plan, facts, verdict, score)
    except KeyboardInterrupt:
        summary = summarise(plan, target, subject, measured, "interrupted") | {"error": "interrupted before its end"}
        raise
    except Exception as failure:
        summary = summarise(plan, target, subject, measured, "failed") | {"error": str(failure)}
        raise
    finally:
        write_samples(folder, measured.ledger.outcomes.values(), label(plan))
        write_summary(folder, summary)
        write_text(folder / REPORT, page(summary))
        print(text_table([summary]))
        print(f"results: {folder}", flush=True)
    return verdict.valid


def _score(plan: TestPlan, dataset: Dataset, measured: Measurement, folder: Path) -> Score | None:
    """From LoadGen's accuracy log, as official. A quick run is scored by its own answers, to save a second run."""
    if plan.mode is Mode.ACCURACY:
        return dataset.score(read_responses(plan, folder))
    if not plan.quick:
        return None
    outcomes = measured.ledger.outcomes.values()
    return dataset.score({outcome.index: outcome.answer.data if outcome.answer else b"" for outcome in outcomes})
