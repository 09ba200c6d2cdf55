"""`python -m loadtest.accuracy`: runs an accuracy test and scores it, or scores one that is there already."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from cluster.tables import aligned
from loadtest.arguments import Arguments, add_pullers
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import DataError, Mode
from loadtest.benchmarks.scoring.code_tests import CodeTests
from loadtest.benchmarks.scoring.live_code_bench import LiveCodeBench
from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox, SandboxError
from loadtest.command import Refused, leave, outcome
from loadtest.run import run
from loadtest.scored import HEADINGS, judged_by, score_run


def main(arguments: list[str]) -> int:
    """0: all pass; 1: one fails; 2: it could not be run or wholly scored; 130: interrupted."""
    parser = Arguments(
        "python -m loadtest.accuracy",
        "Scores the accuracy runs in the folders RUN, or runs an accuracy test of --benchmark and scores that. "
        "Writes accuracy.txt, as the submission checker reads it, beside LoadGen's log.",
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="the folder of a finished accuracy run")
    parser.add_scenario()
    parser.add_test(required=False, modes=False)
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with this interrupted accuracy run")
    parser.add_argument("--run-code", action="store_true", help="run the programs that the model wrote, in a sandbox")
    parser.add_argument(
        "--livecodebench", type=Path, metavar="PATH", help="LiveCodeBench's problems: a folder of *.jsonl, or one file"
    )
    parser.add_target_qps("queries/s to issue in an online scenario")
    add_pullers(parser)
    given = parser.parse_args(arguments)
    return outcome(lambda: _run(parser, given))


def _run(parser: Arguments, given: argparse.Namespace) -> bool:
    if bool(given.runs) == bool(given.benchmark):
        raise Refused("give the folders of accuracy runs, or --benchmark to run one")
    with _code_tests(given) as tests:
        folders = given.runs or [_measured(parser, given, tests)]
        scored = [score_run(folder, given.data, tests) for folder in folders]
    notes = [note for one in scored for note in one.notes()]
    print("\n".join([*aligned(HEADINGS, [one.row() for one in scored]), *notes]))
    if unscored := {name for one in scored for name in one.score.detail.get("not_scored_here", ())}:
        raise Refused(
            f"no overall value: {', '.join(sorted(unscored))} is not scored; --run-code --livecodebench PATH runs the "
            "programs that answer LiveCodeBench"
        )
    return all(one.passed for one in scored)


@contextlib.contextmanager
def _code_tests(given: argparse.Namespace) -> Iterator[CodeTests | None]:
    """A judge of programs, where running them is asked for. Raises Refused where that cannot be done safely."""
    if given.run_code != (given.livecodebench is not None):
        raise Refused("--run-code and --livecodebench PATH go together: one permits it, the other has the tests")
    if not given.run_code:
        yield None
        return
    try:
        problems = LiveCodeBench(given.livecodebench)
        with Sandbox() as sandbox:
            yield CodeTests(problems, sandbox)
    except (SandboxError, DataError) as error:
        raise Refused(str(error)) from error


def _measured(parser: Arguments, given: argparse.Namespace, tests: CodeTests | None) -> Path:
    """Folder of a run whose answers are still to be scored. What could not be scored then is refused now."""
    if tests is not None:
        tested = benchmark(given.benchmark)
        judged_by(tests, tested, tested.load(given.data, Mode.ACCURACY, 1))
    return run(parser.options(given, mode=Mode.ACCURACY, scored=False)).folder


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
