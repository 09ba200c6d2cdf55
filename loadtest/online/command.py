"""The commands `server` and `interactive`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.option_types import FLAG, POSITIVE
from loadtest import arguments as common
from loadtest.arguments import BenchmarkName, ModeArguments, OnlineArguments, ServerArguments
from loadtest.benchmarks import benchmark as benchmark_named
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.command import Refused, outcome
from loadtest.commands import INTERACTIVE, SERVER
from loadtest.endpoint import endpoint
from loadtest.online.continuous import run_continuous
from loadtest.online.peak import climb_by, find_peak
from loadtest.run import run

FIRST_QPS = 1.0
"""Rate at which a search begins, in queries/s, where --target-qps is absent."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RateArguments:
    """The rate of queries, or the search for the highest."""

    target_qps: Annotated[
        float | None,
        POSITIVE,
        Parameter(help="Queries/s to issue, or the first rate that --find-peak tries.", metavar="RATE"),
    ] = None
    find_peak: Annotated[
        bool,
        Parameter(help="Search the highest rate that is VALID; the same command and --out continue a search."),
        FLAG,
    ] = False


RATE_DEFAULTS = RateArguments()


def server(
    *,
    benchmark: BenchmarkName,
    server: ServerArguments = common.SERVER_DEFAULTS,
    test: OnlineArguments = common.ONLINE_DEFAULTS,
    modes: ModeArguments = common.MODE_DEFAULTS,
    rate: RateArguments = RATE_DEFAULTS,
) -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: _run(Scenario.SERVER, SERVER.module, benchmark, server, test, modes, rate))


def interactive(
    *,
    benchmark: BenchmarkName,
    server: ServerArguments = common.SERVER_DEFAULTS,
    test: OnlineArguments = common.ONLINE_DEFAULTS,
    modes: ModeArguments = common.MODE_DEFAULTS,
    rate: RateArguments = RATE_DEFAULTS,
) -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: _run(Scenario.INTERACTIVE, INTERACTIVE.module, benchmark, server, test, modes, rate))


def main(scenario: Scenario, arguments: Sequence[str]) -> int:
    command, function = (SERVER, server) if scenario is Scenario.SERVER else (INTERACTIVE, interactive)
    return run_command(single(command, function), arguments)


def _run(
    scenario: Scenario,
    module: str,
    benchmark: str,
    server: ServerArguments,
    test: OnlineArguments,
    modes: ModeArguments,
    rate: RateArguments,
) -> bool:
    official = benchmark_named(benchmark).official
    options = common.options_of(
        benchmark, scenario, server, test, mode=modes.mode, resume=modes.resume, target_qps=rate.target_qps
    )
    if scenario is Scenario.SERVER and not official.online:
        return run_continuous(options)
    if not rate.find_peak:
        return run(options).valid
    if modes.mode is not Mode.PERFORMANCE:
        raise Refused("--find-peak searches by performance runs; leave --mode accuracy out")
    return _find_peak(module, benchmark, server, test, rate.target_qps or FIRST_QPS)


def _find_peak(module: str, benchmark: str, server: ServerArguments, test: OnlineArguments, first_qps: float) -> bool:
    folder = test.out / f"{benchmark}-{module.rpartition('.')[2]}-peak{'-quick' if test.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    with endpoint(server.fleet, server.endpoint) as url:
        options = _trial_options(benchmark, server, test)
        secret = ["--api-key", server.api_key] if server.api_key else []
        climb = climb_by(module, [*options, *secret, "--endpoint", url], folder)
        peak = find_peak(folder, options, first_qps, climb)
    print("no rate held" if peak is None else f"highest rate that is VALID: {peak.target_qps:g} queries/s")
    print(f"results: {folder}")
    return peak is not None


def _trial_options(benchmark: str, server: ServerArguments, test: OnlineArguments) -> list[str]:
    """Options that every run of a search gets as they are, and that a search which is continued must share."""
    values = {
        "benchmark": benchmark,
        "model": server.model,
        "data": test.data,
        "round": test.round,
        "passes": test.passes,
        "timeout": test.timeout,
        "attempts": test.attempts,
    }
    options = ["--quick"] if test.quick else []
    for name, value in values.items():
        if value is not None:
            options += [f"--{name}", str(value)]
    return options
