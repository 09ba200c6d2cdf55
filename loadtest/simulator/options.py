"""What `python -m loadtest.simulate` is told."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from deployments.routing import DEFAULT_POLICY, POLICIES
from loadtest.command import at_least_one, positive
from loadtest.simulator.cells import Cell
from loadtest.simulator.fleets import COMPARED
from loadtest.simulator.run import RatesKnown
from loadtest.traces.generators import GENERATORS

ALL = "all"


@dataclass(frozen=True)
class Options:
    """A grid: every combination of its lists. `like` has what all of its cells have in common."""

    traces: tuple[str, ...]
    fleets: tuple[str, ...]
    policies: tuple[str, ...]
    loads: tuple[float, ...]
    rates: tuple[RatesKnown, ...]
    seeds: int
    model: str | None
    like: dict[str, object]
    out: Path
    jobs: int
    slo_share: float
    find_goodput: bool
    smallest_for: float | None

    def cells(self) -> Iterator[Cell]:
        """Seeds last: a group's runs stand together."""
        for trace, fleet, rates, load, policy in product(
            self.traces, self.fleets, self.rates, self.loads, self.policies
        ):
            yield from self.seeded(trace, fleet, policy, rates, load=load)

    def seeded(
        self,
        trace: str,
        fleet: str,
        policy: str,
        rates: RatesKnown,
        *,
        load: float | None = None,
        rate: float | None = None,
    ) -> Iterator[Cell]:
        """One cell with each of the seeds."""
        for seed in range(self.seeds):
            yield Cell(trace, fleet, policy, load, seed=seed, rates=rates, rate=rate, **self.like)  # type: ignore[arg-type]


def parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.simulate",
        description="Simulates fleets on virtual time behind the router of serving: every combination of what is "
        "listed. What is finished already, with the same code, is not run again.",
    )
    add = parser.add_argument
    add(
        "--trace",
        nargs="+",
        action="extend",
        required=True,
        metavar="TRACE",
        help=f"files (.jsonl, .csv) or generators ({', '.join(GENERATORS)}) such as shared-prefix:groups=20",
    )
    add(
        "--fleet",
        nargs="+",
        action="extend",
        required=True,
        metavar="FLEET",
        help=f"presets, fleet files, or those for comparison: {', '.join(COMPARED)}",
    )
    add(
        "--policy",
        nargs="+",
        action="extend",
        choices=[*POLICIES, ALL],
        metavar="POLICY",
        help=f"{', '.join(POLICIES)}; or all ({DEFAULT_POLICY})",
    )
    add(
        "--load",
        nargs="+",
        action="extend",
        type=positive,
        help="arriving input tokens/s over what the fleet prefills with nothing cached (1)",
    )
    known = get_args(RatesKnown)
    add("--rates", nargs="+", choices=known, default=["learned"], help="does the router know the speeds? (learned)")
    add("--seeds", type=at_least_one, default=3, help="windows of a trace, draws of a generator (3)")
    add("--requests", type=at_least_one, default=2000, help="in a window (2000)")
    add("--model", metavar="NAME", help="of a fleet file with several")
    add("--kv-tokens", type=at_least_one, metavar="N", help="of every replica's cache, in place of its own")
    add("--events-ms", type=_not_negative, default=5.0, help="from a cache's change to the router (5)")
    add("--heartbeat-ms", type=positive, default=100.0, help="between two words of an engine on its load (100)")
    add("--decision-ms", type=_not_negative, default=0.0, help="that a choice takes (0)")
    add("--slo-ttft", type=positive, metavar="S", default=2.0, help="or 3 x the prompt's own prefill (2)")
    add("--slo-tpot", type=positive, metavar="S", default=0.08, help="time per token (0.08)")
    add("--slo-share", type=_share, default=0.9, help="of the requests that a fleet which holds the SLO keeps (0.9)")
    add("--out", type=Path, default=Path("results/simulations"), metavar="DIR", help="(results/simulations)")
    add("--jobs", type=at_least_one, default=2, help="processes (2)")
    question = parser.add_mutually_exclusive_group()
    question.add_argument("--find-goodput", action="store_true", help="the highest load that holds the SLO")
    question.add_argument(
        "--smallest-for", type=positive, metavar="RATE", help="the smallest of the fleets that holds so many requests/s"
    )
    given = parser.parse_args(arguments)
    policies = given.policy or [DEFAULT_POLICY]
    return Options(
        traces=tuple(dict.fromkeys(given.trace)),
        fleets=tuple(dict.fromkeys(given.fleet)),
        policies=tuple(POLICIES) if ALL in policies else tuple(dict.fromkeys(policies)),
        loads=tuple(dict.fromkeys(given.load or [1.0])),
        rates=tuple(dict.fromkeys(given.rates)),
        seeds=given.seeds,
        model=given.model,
        like={
            "requests": given.requests,
            "model": given.model,
            "kv_tokens": given.kv_tokens,
            "events_ms": given.events_ms,
            "heartbeat_ms": given.heartbeat_ms,
            "decision_ms": given.decision_ms,
            "slo_ttft_s": given.slo_ttft,
            "slo_tpot_s": given.slo_tpot,
        },
        out=given.out,
        jobs=given.jobs,
        slo_share=given.slo_share,
        find_goodput=given.find_goodput,
        smallest_for=given.smallest_for,
    )


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return value
