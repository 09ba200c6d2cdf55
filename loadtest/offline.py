"""MLPerf Offline: `python -m loadtest.offline --benchmark whisper|qwen3-vl|gpt-oss`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.option_types import POSITIVE
from loadtest import arguments as common
from loadtest.arguments import BenchmarkName, ForeignLoadArguments, LoadGenArguments, ModeArguments, ServerArguments
from loadtest.benchmarks.base import Scenario
from loadtest.command import leave, outcome
from loadtest.commands import OFFLINE
from loadtest.run import run


def offline(
    *,
    benchmark: BenchmarkName,
    server: ServerArguments = common.SERVER_DEFAULTS,
    test: LoadGenArguments = common.LOADGEN_DEFAULTS,
    modes: ModeArguments = common.MODE_DEFAULTS,
    target_qps: Annotated[
        float | None,
        POSITIVE,
        Parameter(help="Expected samples/s, which set the length of an official run.", metavar="RATE"),
    ] = None,
    foreign: ForeignLoadArguments = common.FOREIGN_DEFAULTS,
) -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    options = common.options_of(
        benchmark,
        Scenario.OFFLINE,
        server,
        test,
        mode=modes.mode,
        resume=modes.resume,
        target_qps=target_qps,
        foreign=foreign.load(),
    )
    return outcome(lambda: run(options).valid)


def main(arguments: Sequence[str]) -> int:
    return run_command(single(OFFLINE, offline), arguments)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
