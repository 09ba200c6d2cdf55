"""`python -m loadtest.accuracy`: runs an accuracy test and scores it, or scores one that is there already."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.tables import aligned
from loadtest.accuracy_file import ACCURACY_FILE, accuracy_text
from loadtest.arguments import Arguments
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Accuracy, DataError, Mode, Scenario, Score
from loadtest.command import Refused, leave, outcome
from loadtest.loadgen.log import find_log, read_accuracy_log
from loadtest.loadgen.settings import LoadGenError
from loadtest.results import read_summary, write_summary, write_text
from loadtest.run import run
from loadtest.target import ForeignLoad

SCENARIOS = {scenario.lower(): scenario for scenario in Scenario}
HEADINGS = ("run", "benchmark", "accuracy", "reference", "threshold", "outcome")


@dataclass(frozen=True)
class Scored:
    """An accuracy run and its value. `toy`: why it says nothing of the official model; "" where it does."""

    folder: Path
    benchmark: str
    score: Score
    wanted: Accuracy
    toy: str = ""

    @property
    def passed(self) -> bool:
        return self.score.value is not None and self.score.value >= self.wanted.threshold

    def row(self) -> tuple[str, ...]:
        value = "-" if self.score.value is None else f"{self.score.value:.4f}"
        word = "PASS" if self.passed else "FAIL"
        wanted = (f"{self.wanted.reference:g}", f"{self.wanted.threshold:g}")
        said = f"{word} ({self.toy})" if self.toy else word
        return self.folder.name, self.benchmark, f"{value} {self.score.metric}", *wanted, said


def main(arguments: list[str]) -> int:
    """0: all pass; 1: one fails; 2: it could not be run or scored; 130: interrupted."""
    parser = Arguments(
        "python -m loadtest.accuracy",
        "Scores the accuracy runs in the folders RUN, or runs an accuracy test of --benchmark and scores that. "
        "Writes accuracy.txt, as the submission checker reads it, beside LoadGen's log.",
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="the folder of a finished accuracy run")
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="offline", help="default: offline")
    parser.add_test(required=False, modes=False)
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with this interrupted accuracy run")
    parser.add_target_qps("queries/s to issue in an online scenario")
    parser.add_pullers()
    given = parser.parse_args(arguments)
    return outcome(lambda: _run(parser, given))


def _run(parser: Arguments, given: argparse.Namespace) -> bool:
    if bool(given.runs) == bool(given.benchmark):
        raise Refused("give the folders of accuracy runs, or --benchmark to run one")
    folders = given.runs or [_measured(parser, given)]
    scored = [score_run(folder, given.data) for folder in folders]
    print("\n".join(aligned(HEADINGS, [one.row() for one in scored])))
    for one in scored:
        if one.score.value is None:
            print(f"{one.folder.name}: no overall value: {one.score.detail}")
    return all(one.passed for one in scored)


def _measured(parser: Arguments, given: argparse.Namespace) -> Path:
    scenario = SCENARIOS[given.scenario]
    foreign = ForeignLoad(given.pullers, given.window)
    return run(parser.options(given, scenario, mode=Mode.ACCURACY, foreign=foreign)).folder


def score_run(folder: Path, data: Path | None) -> Scored:
    """Scores a finished accuracy run and writes accuracy.txt and the value into its folder. Raises Refused."""
    try:
        summary = read_summary(folder)
        _require_whole(folder, summary)
        tested = benchmark(summary["benchmark"])
        samples, embedded = int(summary["data_set"]["samples"]), bool(summary["data_set"]["embedded"])
        if not embedded and data is None:
            raise Refused(f"{folder}: give --data {summary['data_set']['description']}, which it was asked from")
        if embedded and data is not None:
            raise Refused(f"{folder}: it was asked from the embedded data set; leave --data out")
        dataset = tested.load(data, Mode.ACCURACY, samples)
        if len(dataset) != samples:
            raise Refused(f"{folder}: it was asked from {samples} samples, {data} holds {len(dataset)}")
        log = find_log(folder, "accuracy.json")
        answers = dict(read_accuracy_log(log))
        if strangers := [index for index in answers if index >= samples]:
            raise Refused(f"{log}: sample {strangers[0]} is none of the data set's {samples}")
        score = dataset.score(answers)
    except (OSError, ValueError, KeyError, DataError, LoadGenError) as error:
        raise Refused(f"{folder}: {error}") from error
    if score.value is not None:
        write_text(folder / ACCURACY_FILE, accuracy_text(tested.name, score, log))
    write_summary(folder, summary | {"accuracy": {**(summary.get("accuracy") or {}), **asdict(score)}})
    wanted = tested.official.accuracy(Scenario(summary["scenario"]))
    return Scored(folder, tested.name, score, wanted, _toy(summary, samples, wanted))


def _require_whole(folder: Path, summary: dict[str, Any]) -> None:
    if summary.get("mode") != Mode.ACCURACY:
        raise Refused(f"{folder} is no accuracy run but one of mode '{summary.get('mode')}'; run --mode accuracy")
    if summary.get("state") != "complete":
        raise Refused(f"{folder}: the run is {summary.get('state')}; --resume it first")


def _toy(summary: dict[str, Any], samples: int, wanted: Accuracy) -> str:
    if summary["data_set"]["embedded"]:
        return "a toy figure: embedded data and checkpoint"
    return f"over {samples} samples instead of {wanted.samples}" if samples != wanted.samples else ""


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
