"""Scores a finished accuracy run from LoadGen's own log, and writes what came of it into the run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from loadtest.accuracy_file import ACCURACY_FILE, accuracy_text
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Accuracy, Benchmark, DataError, Dataset, Mode, Scenario, Score
from loadtest.benchmarks.scoring.code_tests import CodeTests
from loadtest.command import Refused
from loadtest.loadgen.log import find_log, read_accuracy_log
from loadtest.loadgen.settings import LoadGenError
from loadtest.report.page import page
from loadtest.report.timeline import read_timeline
from loadtest.results import REPORT, read_summary, write_summary, write_text
from loadtest.summary import QUICK_LABEL, accuracy_of

HEADINGS = ("run", "benchmark", "accuracy", "reference", "threshold", "outcome")


@runtime_checkable
class AsksForPrograms(Protocol):
    """A data set with questions whose answers are programs."""

    def tested_by(self, tests: CodeTests) -> Dataset: ...


@dataclass(frozen=True)
class Scored:
    """An accuracy run and its value.

    Attributes:
        toy: why it says nothing of the official model; "" where it does.
        invalid: why the run does not count at all; "" where it does.
        obstacles: why MLCommons would not take it.
    """

    folder: Path
    benchmark: str
    score: Score
    wanted: Accuracy
    toy: str = ""
    invalid: str = ""
    obstacles: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.invalid and self.score.value is not None and self.score.value >= self.wanted.threshold

    def row(self) -> tuple[str, ...]:
        """Cells under HEADINGS."""
        value = "-" if self.score.value is None else f"{self.score.value:.4f} {self.score.metric}"
        wanted = (f"{self.wanted.reference:.10g}", f"{self.wanted.threshold:.10g}")
        return self.folder.name, self.benchmark, value, *wanted, self.outcome

    def as_dict(self) -> dict[str, Any]:
        """For a script: the cells of `row`, unrounded, and the notes."""
        return {
            "run": str(self.folder),
            "benchmark": self.benchmark,
            "metric": self.score.metric,
            "value": self.score.value,
            "reference": self.wanted.reference,
            "threshold": self.wanted.threshold,
            "passed": self.passed,
            "outcome": self.outcome,
            "notes": self.notes(),
        }

    @property
    def outcome(self) -> str:
        if self.score.value is None:
            return "-"
        mark = self.invalid or self.toy or ("not submittable" if self.obstacles else "")
        return ("PASS" if self.passed else "FAIL") + (f" ({mark})" if mark else "")

    def notes(self) -> list[str]:
        """Lines below the table: how each data set did, and what MLCommons would object to."""
        lines = [f"{name}: {_counts(told)}" for name, told in self.score.detail.items() if isinstance(told, dict)]
        if self.obstacles:
            lines.append(f"not submittable: {'; '.join(self.obstacles)}")
        return [f"{self.folder.name}: {line}" for line in lines]


def score_run(folder: Path, data: Path | None, tests: CodeTests | None = None) -> Scored:
    """Scores a finished accuracy run and writes accuracy.txt and the value into its folder.

    `data`: the data set that it was asked from, None for the embedded one. `tests` judges programs among the answers.
    Raises Refused, SandboxError.
    """
    try:
        summary = read_summary(folder)
        _require_whole(folder, summary)
        tested = benchmark(summary["benchmark"])
        dataset = _dataset(folder, summary, tested, data, tests)
        log = find_log(folder, "accuracy.json")
        score = dataset.score(_answers(log, len(dataset)))
    except (OSError, ValueError, KeyError, DataError, LoadGenError) as error:
        raise Refused(f"{folder}: {error}") from error
    if score.value is not None:
        write_text(folder / ACCURACY_FILE, accuracy_text(tested.name, score, log))
    wanted = tested.official.accuracy(Scenario(summary["scenario"]))
    toy = _toy(summary, len(dataset), wanted)
    summary |= {"accuracy": accuracy_of(score, wanted, toy or None)}
    write_summary(folder, summary)
    write_text(folder / REPORT, page(summary, read_timeline(folder)))
    obstacles = tuple(summary.get("not_submittable_because", ()))
    return Scored(folder, tested.name, score, wanted, toy, _invalid(summary), obstacles)


def _require_whole(folder: Path, summary: dict[str, Any]) -> None:
    if summary.get("mode") != Mode.ACCURACY:
        raise Refused(f"{folder} is no accuracy run but one of mode '{summary.get('mode')}'; run --mode accuracy")
    if summary.get("state") != "complete":
        raise Refused(f"{folder}: the run is {summary.get('state')}; --resume it first")


def _dataset(
    folder: Path, summary: dict[str, Any], tested: Benchmark, data: Path | None, tests: CodeTests | None
) -> Dataset:
    samples, embedded = int(summary["data_set"]["samples"]), bool(summary["data_set"]["embedded"])
    if not embedded and data is None:
        raise Refused(f"{folder}: give --data {summary['data_set']['description']}, which it was asked from")
    if embedded and data is not None:
        raise Refused(f"{folder}: it was asked from the embedded data set; leave --data out")
    dataset = tested.load(data, Mode.ACCURACY, samples)
    if len(dataset) != samples:
        raise Refused(f"{folder}: it was asked from {samples} samples, {data} holds {len(dataset)}")
    return dataset if tests is None else judged_by(tests, tested, dataset)


def judged_by(tests: CodeTests, tested: Benchmark, dataset: Dataset) -> Dataset:
    """Raises Refused where a benchmark asks for no programs."""
    if not isinstance(dataset, AsksForPrograms):
        raise Refused(f"{tested.name} asks for no programs; leave --run-code out")
    return dataset.tested_by(tests)


def _answers(log: Path, samples: int) -> dict[int, bytes]:
    answers = dict(read_accuracy_log(log))
    if strangers := [index for index in answers if not 0 <= index < samples]:
        raise Refused(f"{log}: sample {strangers[0]} is none of the data set's {samples}")
    if len(answers) < samples:
        raise Refused(f"{log}: it holds answers to {len(answers)} of {samples} samples; run the test again")
    return answers


def _invalid(summary: dict[str, Any]) -> str:
    return f"the run is INVALID: {'; '.join(summary['reasons'])}" if summary.get("verdict") == "INVALID" else ""


def _toy(summary: dict[str, Any], samples: int, wanted: Accuracy) -> str:
    if summary["data_set"]["embedded"]:
        return "a toy figure: embedded data and checkpoint"
    if samples != wanted.samples:
        return f"over {samples} samples instead of {wanted.samples}"
    return "a quick run" if summary["label"] == QUICK_LABEL else ""


def _counts(told: dict[str, Any]) -> str:
    counts = f"{told['right']} of {told['asked']} right" if "right" in told else f"{told['asked']} asked, not scored"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(told.get("outcomes", {}).items()))
    return f"{counts} ({outcomes})" if outcomes else counts
