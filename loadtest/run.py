"""One LoadGen test from options to a results folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from cluster.checkpoints import CheckpointError
from cluster.loading import FleetError
from cluster.ray_address import ray_address
from cluster.tables import show
from loadtest.accuracy_file import ACCURACY_FILE, accuracy_text
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Benchmark, DataError, Dataset, Mode, Scenario, Score
from loadtest.client import Call
from loadtest.command import Refused
from loadtest.compliance.audit import Audit
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.journal import Journal, JournalError
from loadtest.loadgen.log import read_log, read_responses
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.settings import LoadGenError, TestPlan
from loadtest.measuring import Measurement, MeasurementError, Subject
from loadtest.report.page import page
from loadtest.report.text import run_table
from loadtest.report.timeline import read_timeline
from loadtest.results import REPORT, new_run_folder, write_samples, write_summary, write_text
from loadtest.summary import conclude, label, summarise
from loadtest.target import ForeignLoad, Target, inspect
from loadtest.verdict import judge

Measure = Callable[[TestPlan, Subject, Path, Measurement], None]

MEASURES = {
    Scenario.OFFLINE: "loadtest.measure",
    Scenario.SERVER: "loadtest.online.measure",
    Scenario.INTERACTIVE: "loadtest.online.measure",
}
"""Scenario -> the module whose `measure` runs it, imported on use: Ray is no part of an online test."""


@dataclass(frozen=True)
class Options:
    """What a command of LoadGen's was told; see `python -m loadtest.offline --help`."""

    benchmark: str
    scenario: Scenario = Scenario.OFFLINE
    mode: Mode = Mode.PERFORMANCE
    round: Round = Round.V6_1
    audit: Audit | None = None
    quick: bool = False
    passes: int = 1
    fleet: str | None = None
    endpoint: str | None = None
    model: str | None = None
    data: Path | None = None
    out: Path = Path("results")
    resume: Path | None = None
    target_qps: float | None = None
    timeout_s: float = 3600.0
    attempts: int = 5
    api_key: str | None = None
    foreign: ForeignLoad = field(default_factory=ForeignLoad)
    scored: bool = True
    """Whether its answers are scored; else whoever started it does so."""


@dataclass(frozen=True)
class Run:
    """A finished test."""

    folder: Path
    valid: bool
    score: Score | None


def run(options: Options) -> Run:
    """Runs one test and prints its table. Raises Refused, RayAddressError, KeyboardInterrupt."""
    if options.scenario is Scenario.OFFLINE:
        ray_address()  # the job runs on Ray: refused here, before anything is loaded or written
    try:
        tested = benchmark(options.benchmark)
        plan_of = _planner(options, tested)
        dataset = tested.load(options.data, options.mode, tested.quick_samples if options.quick else None)
        plan = plan_of(len(dataset))
        with endpoint(options.fleet, options.endpoint) as url:
            target = inspect(url, tested, options.model, options.foreign, bearer(options.api_key))
            if not options.quick:
                target.refuse_offenders()
            return _test(options, plan, tested, dataset, target)
    except (DataError, TargetError, FleetError, CheckpointError, LoadGenError, MeasurementError, JournalError) as error:
        raise Refused(str(error)) from error
    finally:
        if (ray := sys.modules.get("ray")) is not None and ray.is_initialized():
            ray.shutdown()


def _planner(options: Options, tested: Benchmark) -> Callable[[int], TestPlan]:
    """Gets the size of the data set. What cannot be run is refused before anything is loaded or started."""
    official, rate = tested.official, options.target_qps
    if options.scenario is not Scenario.OFFLINE:
        if options.scenario not in official.online:
            known = ", ".join(scenario.lower() for scenario in (Scenario.OFFLINE, *official.online))
            raise Refused(f"{tested.name} has no MLPerf scenario {options.scenario}; it has {known}")
        if rate is None and options.quick:
            rate = tested.quick_qps
        if rate is None:
            raise Refused("give --target-qps RATE, the queries a second to issue, or --find-peak to search the highest")
    if options.resume is not None and options.mode is not Mode.ACCURACY:
        raise Refused("only an accuracy run can be resumed: the time of a performance run cannot be stopped")
    return lambda samples: TestPlan(
        official=official,
        mode=options.mode,
        samples=samples,
        quick=options.quick,
        target_qps=rate,
        scenario=options.scenario,
        round=options.round,
        audit=options.audit,
        passes=options.passes,
    )


def _test(options: Options, plan: TestPlan, tested: Benchmark, dataset: Dataset, target: Target) -> Run:
    call = Call(
        url=target.url + tested.path,
        headers={"Content-Type": tested.content_type, **bearer(options.api_key)},
        timeout_s=options.timeout_s,
        attempts=options.attempts,
    )
    folder = options.resume or new_run_folder(options.out, _label(plan, tested))
    journal = Journal.of(folder, plan, tested.name, target) if plan.mode is Mode.ACCURACY else None
    subject = Subject(tested, dataset, target.served, call, target.seats, journal)
    measured, measure = Measurement(), _measure(plan.scenario)
    summary = summarise(plan, target, subject, measured, "failed")
    try:
        measure(plan, subject, folder, measured)
        facts = read_log(plan, folder)
        verdict = judge(plan, target, dataset, facts, measured)
        score = _score(plan, dataset, measured, folder) if options.scored else None
        complete = summarise(plan, target, subject, measured, "complete")
        summary = conclude(complete, plan, facts, verdict, score)
        if plan.mode is Mode.ACCURACY and score is not None and score.value is not None:
            log = folder / f"{plan.log_prefix}accuracy.json"
            write_text(folder / ACCURACY_FILE, accuracy_text(tested.name, score, log))
    except KeyboardInterrupt:
        summary = summarise(plan, target, subject, measured, "interrupted") | {"error": _interrupted(folder, journal)}
        raise
    except Exception as failure:
        summary = summarise(plan, target, subject, measured, "failed") | {"error": str(failure)}
        raise
    finally:
        if journal is not None:
            journal.close()
        write_samples(folder, measured.ledger.outcomes.values(), label(plan))
        write_summary(folder, summary)
        write_text(folder / REPORT, page(summary, read_timeline(folder)))
        show(*run_table([summary]))
        print(f"results: {folder}", flush=True)
    return Run(folder, verdict.valid, score)


def _label(plan: TestPlan, tested: Benchmark) -> str:
    audit = [plan.audit.name.lower()] if plan.audit else []
    return "-".join([tested.name, plan.scenario.lower(), plan.mode, *audit, *(["quick"] if plan.quick else [])])


def _interrupted(folder: Path, journal: Journal | None) -> str:
    return "interrupted before its end" + (f"; --resume {folder} continues it" if journal is not None else "")


def _measure(scenario: Scenario) -> Measure:
    measure: Measure = import_module(MEASURES[scenario]).measure
    return measure


def _score(plan: TestPlan, dataset: Dataset, measured: Measurement, folder: Path) -> Score | None:
    """From LoadGen's accuracy log, as official. A quick run is scored by its own answers, to save a second run."""
    if plan.mode is Mode.ACCURACY:
        return dataset.score(read_responses(plan, folder))
    if not plan.quick:
        return None
    outcomes = measured.ledger.outcomes.values()
    return dataset.score({outcome.index: outcome.answer.data if outcome.answer else b"" for outcome in outcomes})
