"""Options that the commands of LoadGen's tests have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.command import at_least_one, positive
from loadtest.loadgen.rounds import Round
from loadtest.run import Options
from loadtest.target import ForeignLoad

SCENARIOS = {scenario.lower(): scenario for scenario in Scenario}


def add_pullers(parser: argparse.ArgumentParser) -> None:
    """How hard an endpoint is driven that does not tell its replicas."""
    default = ForeignLoad()
    parser.add_argument("--pullers", type=at_least_one, default=default.pullers, help="for an --endpoint of others (2)")
    parser.add_argument("--window", type=at_least_one, default=default.window, help="requests in flight of each (32)")


def foreign_load(given: argparse.Namespace) -> ForeignLoad:
    """What `add_pullers` asked for; its defaults where a command has no such options."""
    return ForeignLoad(given.pullers, given.window) if hasattr(given, "pullers") else ForeignLoad()


class Arguments(argparse.ArgumentParser):
    """A parser that knows the options of a test."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description)

    def add_test(self, required: bool = True, modes: bool = True, attempts: int = 5) -> None:
        """What is asked, of whom, and where the results go. `required`: whether the benchmark must be named."""
        self.add_argument("--benchmark", required=required, choices=list(BENCHMARKS))
        subject = self.add_mutually_exclusive_group()
        subject.add_argument("--fleet", help="a preset or a fleet file; it is started in MLPerf mode")
        subject.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that runs already")
        self.add_argument("--model", metavar="NAME", help="the model to test, where the endpoint serves several")
        self.add_argument("--api-key", metavar="KEY", help="sent as bearer")
        self.add_argument("--data", type=Path, metavar="PATH", help="the official data set (default: the embedded one)")
        if modes:
            self.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.PERFORMANCE)
            self.add_argument("--resume", type=Path, metavar="DIR", help="go on with this interrupted accuracy run")
        self.add_argument("--round", type=Round, choices=list(Round), default=Round.V6_1, help="default: v6.1")
        self.add_argument("--out", type=Path, metavar="DIR", default=Path("results"), help="default: results")
        self.add_argument("--quick", action="store_true", help="one pass over few samples; never an MLPerf result")
        self.add_argument("--passes", type=at_least_one, default=1, help="of a quick run over its samples (1)")
        self.add_argument("--timeout", type=positive, metavar="S", default=3600.0, help="for one request (3600)")
        self.add_argument("--attempts", type=at_least_one, default=attempts, help=f"for one sample ({attempts})")

    def add_target_qps(self, meaning: str) -> None:
        self.add_argument("--target-qps", type=positive, metavar="RATE", help=meaning)

    def add_scenario(self) -> None:
        """For commands that are not of one scenario."""
        self.add_argument("--scenario", choices=list(SCENARIOS), default="offline", help="default: offline")

    def options(self, given: argparse.Namespace, scenario: Scenario | None = None, **more: Any) -> Options:
        """Options of a test from parsed arguments; its scenario is the given one where it is not told."""
        return Options(
            **{
                "benchmark": given.benchmark,
                "scenario": scenario or SCENARIOS[given.scenario],
                "mode": getattr(given, "mode", Mode.PERFORMANCE),
                "round": given.round,
                "quick": given.quick,
                "passes": given.passes,
                "fleet": given.fleet,
                "endpoint": given.endpoint,
                "model": given.model,
                "data": given.data,
                "out": given.out,
                "resume": getattr(given, "resume", None),
                "target_qps": given.target_qps,
                "timeout_s": given.timeout,
                "attempts": given.attempts,
                "api_key": given.api_key,
                "foreign": foreign_load(given),
                **more,
            }
        )
