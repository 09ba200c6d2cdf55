"""MLPerf Offline: `python -m loadtest.offline --benchmark whisper|qwen3-vl|gpt-oss`."""

from __future__ import annotations

import sys

from loadtest.arguments import Arguments, add_pullers
from loadtest.benchmarks.base import Scenario
from loadtest.command import leave, outcome
from loadtest.run import Options, run


def parse(arguments: list[str]) -> Options:
    parser = Arguments(
        "python -m loadtest.offline",
        "One MLPerf Offline test with MLCommons' LoadGen, as a Ray Data job. Without --fleet and "
        "--endpoint it takes the running fleet, else it starts the embedded one and stops it afterwards.",
    )
    parser.add_test()
    parser.add_target_qps("samples/s you expect; sets how long an official run lasts")
    add_pullers(parser)
    given = parser.parse_args(arguments)
    return parser.options(given, Scenario.OFFLINE)


def main() -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: run(parse(sys.argv[1:])).valid)


if __name__ == "__main__":
    leave(main())
