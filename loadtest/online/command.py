"""What `python -m loadtest.server` and `loadtest.interactive` have in common."""

from __future__ import annotations

import sys

from loadtest.arguments import Arguments
from loadtest.benchmarks.base import Scenario
from loadtest.command import outcome
from loadtest.run import run


def main(scenario: Scenario, module: str) -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    parser = Arguments(
        f"python -m {module}",
        f"One MLPerf {scenario} test with MLCommons' LoadGen: queries leave on its schedule, answers are streamed. "
        "Without --fleet and --endpoint it takes the running fleet, else it starts the embedded one.",
    )
    parser.add_test(attempts=1)
    parser.add_target_qps("queries/s to issue")
    parser.add_argument(
        "--find-peak", action="store_true", help="search the highest --target-qps that is VALID; rerun to go on"
    )
    arguments = sys.argv[1:]
    given = parser.parse_args(arguments)
    return outcome(lambda: run(parser.options(given, scenario)).valid)
