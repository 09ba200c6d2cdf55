"""What `python -m loadtest.server` and `loadtest.interactive` have in common."""

from __future__ import annotations

import argparse
import sys

from loadtest.arguments import Arguments
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.command import Refused, outcome
from loadtest.endpoint import endpoint
from loadtest.online.continuous import run_continuous
from loadtest.online.peak import climb_by, find_peak
from loadtest.run import run

PASSED_ON = ("benchmark", "model", "data", "round", "passes", "timeout", "attempts")
"""Options that every rung of a search gets as they were given."""

FIRST_QPS = 1.0


def main(scenario: Scenario, module: str) -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    parser = Arguments(
        f"python -m {module}",
        f"One MLPerf {scenario} test with MLCommons' LoadGen: queries leave on its schedule, answers are streamed. "
        "Without --fleet and --endpoint it takes the running fleet, else it starts the embedded one.",
    )
    parser.add_test(attempts=1)
    parser.add_target_qps("queries/s to issue; where --find-peak begins")
    parser.add_argument(
        "--find-peak",
        action="store_true",
        help="search the highest --target-qps that is VALID; the same command and --out go on with a search cut short",
    )
    given = parser.parse_args(sys.argv[1:])
    return outcome(lambda: _run(parser, given, scenario, module))


def _run(parser: Arguments, given: argparse.Namespace, scenario: Scenario, module: str) -> bool:
    official = benchmark(given.benchmark).official
    if scenario is Scenario.SERVER and not official.online:
        return run_continuous(parser.options(given, scenario))
    return _find_peak(given, module) if given.find_peak else run(parser.options(given, scenario)).valid


def _find_peak(given: argparse.Namespace, module: str) -> bool:
    if given.mode is not Mode.PERFORMANCE:
        raise Refused("--find-peak searches by performance runs; leave --mode accuracy out")
    folder = given.out / f"{given.benchmark}-{module.rpartition('.')[2]}-peak{'-quick' if given.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    with endpoint(given.fleet, given.endpoint) as url:
        options = ["--quick"] if given.quick else []
        for name in PASSED_ON:
            if (value := getattr(given, name)) is not None:
                options += [f"--{name}", str(value)]
        secret = ["--api-key", given.api_key] if given.api_key else []
        climb = climb_by(module, [*options, *secret, "--endpoint", url], folder)
        peak = find_peak(folder, options, given.target_qps or FIRST_QPS, climb)
    print("no rate held" if peak is None else f"highest rate that is VALID: {peak.target_qps:g} queries/s")
    print(f"results: {folder}")
    return peak is not None
