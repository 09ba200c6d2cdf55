"""`python -m loadtest.accuracy`: runs an accuracy test and scores it, or scores one that is there already."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import print_json, single
from cluster.command_line import run as run_command
from cluster.option_types import FLAG, POSITIVE, Json
from cluster.tables import Table, show
from loadtest import arguments as common
from loadtest.arguments import (
    SCENARIOS,
    ForeignLoadArguments,
    LoadGenArguments,
    OptionalBenchmarkName,
    ScenarioName,
    ServerArguments,
)
from loadtest.benchmarks import benchmark as benchmark_named
from loadtest.benchmarks.base import DataError, Mode
from loadtest.benchmarks.scoring.code_tests import CodeTests
from loadtest.benchmarks.scoring.live_code_bench import LiveCodeBench
from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox, SandboxError
from loadtest.command import Refused, leave, outcome
from loadtest.commands import ACCURACY
from loadtest.run import Options, run
from loadtest.scored import HEADINGS, Scored, judged_by, score_run


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ProgramArguments:
    """Whether programs that the model wrote may run, and the tests that judge them."""

    run_code: Annotated[bool, Parameter(help="Run the programs that the model wrote, in a sandbox."), FLAG] = False
    livecodebench: Annotated[
        Path | None,
        Parameter(help="LiveCodeBench's problems: a folder of *.jsonl files, or one file.", metavar="PATH"),
    ] = None


PROGRAM_DEFAULTS = ProgramArguments()


def accuracy(
    runs: Annotated[
        list[Path] | None, Parameter(help="Folders of finished accuracy runs; without them, one is run.", metavar="RUN")
    ] = None,
    /,
    *,
    benchmark: OptionalBenchmarkName = None,
    scenario: ScenarioName = "offline",
    server: ServerArguments = common.SERVER_DEFAULTS,
    test: LoadGenArguments = common.LOADGEN_DEFAULTS,
    resume: Annotated[
        Path | None, Parameter(help="Continue the interrupted accuracy run in this folder.", metavar="DIR")
    ] = None,
    programs: ProgramArguments = PROGRAM_DEFAULTS,
    target_qps: Annotated[
        float | None, POSITIVE, Parameter(help="Queries/s to issue in an online scenario.", metavar="RATE")
    ] = None,
    foreign: ForeignLoadArguments = common.FOREIGN_DEFAULTS,
    as_json: Json = False,
) -> int:
    """0: all pass; 1: one fails; 2: it could not be run or wholly scored; 130: interrupted."""

    def measured(tests: CodeTests | None) -> Path:
        assert benchmark is not None
        options = common.options_of(
            benchmark,
            SCENARIOS[scenario],
            server,
            test,
            mode=Mode.ACCURACY,
            resume=resume,
            target_qps=target_qps,
            foreign=foreign.load(),
            scored=False,
        )
        return _measured(options, tests)

    def scored() -> bool:
        if bool(runs) == bool(benchmark):
            raise Refused("give the folders of accuracy runs, or --benchmark to run one")
        with _code_tests(programs) as tests, redirect_stdout(sys.stderr) if as_json else nullcontext():
            folders = runs or [measured(tests)]
            found = [score_run(folder, test.data, tests) for folder in folders]
        return _conclude(found, as_json)

    return outcome(scored)


def main(arguments: Sequence[str]) -> int:
    return run_command(single(ACCURACY, accuracy), arguments)


def _conclude(scored: Sequence[Scored], as_json: bool) -> bool:
    if as_json:
        print_json([one.as_dict() for one in scored])
    else:
        show(Table(HEADINGS, [one.row() for one in scored]), *(note for one in scored for note in one.notes()))
    if unscored := {name for one in scored for name in one.score.detail.get("not_scored_here", ())}:
        raise Refused(
            f"no overall value: {', '.join(sorted(unscored))} is not scored; --run-code --livecodebench PATH runs the "
            "programs that answer LiveCodeBench"
        )
    return all(one.passed for one in scored)


@contextlib.contextmanager
def _code_tests(programs: ProgramArguments) -> Iterator[CodeTests | None]:
    """A judge of programs, where running them is asked for. Raises Refused where that cannot be done safely."""
    problems_path = programs.livecodebench
    if programs.run_code != (problems_path is not None):
        raise Refused("--run-code and --livecodebench PATH go together: one permits it, the other has the tests")
    if problems_path is None:
        yield None
        return
    try:
        problems = LiveCodeBench(problems_path)
        with Sandbox() as sandbox:
            yield CodeTests(problems, sandbox)
    except (SandboxError, DataError) as error:
        raise Refused(str(error)) from error


def _measured(options: Options, tests: CodeTests | None) -> Path:
    """Folder of a run whose answers are still to be scored. What could not be scored then is refused now."""
    if tests is not None:
        tested = benchmark_named(options.benchmark)
        judged_by(tests, tested, tested.load(options.data, Mode.ACCURACY, 1))
    return run(options).folder


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
