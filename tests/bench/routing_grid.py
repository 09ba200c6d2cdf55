"""Our rule beside nine of the field's, in simulated fleets: equal and mixed, six traces, from light load to overload.

`python -m tests.bench.routing_grid [--jobs N] [--highest-load]`: some 90 minutes on two cores; what is finished is kept
and skipped the next time. Mooncake's and Azure's conversations, Azure's code completions, agent loops, 150 groups that
share system prompts of 6,000 tokens (answers of 300 tokens), and prompts that share nothing. None of the nine knows how
fast replicas are.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from cluster.tables import aligned
from deployments.routing import POLICIES
from loadtest.simulator.cells import Cell, Figures
from loadtest.simulator.grid import Results, run_cells
from loadtest.simulator.summary import p90_ttft, slo_share

TRACES = {
    "mooncake": "../shared/data/traces/mooncake_conversation.jsonl",
    "azure": "../shared/data/traces/azure_2023_code.csv",
    "azure-conversation": "../shared/data/traces/azure_2023_conv.csv",
    "agents": "agents:count=2000",
    "poisson": "poisson:count=2000",
    "shared": "shared-prefix:groups=150,system=6000,question=1200,output=300,count=2000",
}
FLEETS = ("equal8", "mixed9", "h200x4-mi350x8")
MIXED = ("mixed9", "h200x4-mi350x8")
LOADS = (0.4, 0.8, 1.0, 1.2, 1.4)
SEEDS = 3
REQUESTS = 2000
OURS = "seconds"
HOLDS = 0.9
"""Share of the requests within the SLO at which a fleet holds a load."""

T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t of 95 % for 2, 3, ... seeds; more seeds take the last one's."""

Place = tuple[str, str, float]
"""Trace, fleet, load."""


HEADINGS = (
    *("trace", "fleet", "load"),
    *("p90 TTFT s", "known", "best of nine", "ratio", "better by"),
    *("in SLO", "best of nine", "better by"),
)
"""`known`: ours, where the router begins with the true rates."""


def cells(traces: Mapping[str, str], policies: Sequence[str], seeds: int, requests: int) -> Iterator[Cell]:
    for seed, load, trace, fleet, policy in product(range(seeds), LOADS, traces.values(), FLEETS, policies):
        yield Cell(trace, fleet, policy, load, seed, requests)
        if policy == OURS and fleet in MIXED:
            yield Cell(trace, fleet, policy, load, seed, requests, rates="known")


def available() -> dict[str, str]:
    """Those whose files are there."""
    found = {name: trace for name, trace in TRACES.items() if "/" not in trace or Path(trace).is_file()}
    for name in TRACES.keys() - found.keys():
        print(f"left out: {name}, whose file {TRACES[name]} is not there", file=sys.stderr)
    return found


@dataclass(frozen=True)
class Verdict:
    """By how much ours is better, over the seeds: mean of the paired differences, and half of its 95 % interval by
    Student's t; infinite for a single seed.

    `sign`: + better in the mean, = as good within the interval, - worse.
    """

    mean: float
    spread: float

    @classmethod
    def of(cls, larger: Sequence[float], smaller: Sequence[float]) -> Verdict:
        """`larger` should be it."""
        differences = [a - b for a, b in zip(larger, smaller, strict=True)]
        count = len(differences)
        if count < 2:
            return cls(mean(differences), math.inf)
        return cls(mean(differences), T_95[min(count, len(T_95) + 1) - 2] * stdev(differences) / math.sqrt(count))

    @property
    def sign(self) -> str:
        return "+" if self.mean > 0 else "=" if self.mean + self.spread >= 0 else "-"


class Table:
    """The grid's figures by trace, fleet and load."""

    def __init__(self, results: Mapping[Cell, Figures], traces: Mapping[str, str]) -> None:
        names = {trace: name for name, trace in traces.items()}
        self.runs: dict[tuple[Place, str, str], list[Figures]] = {}
        for cell, figures in results.items():
            assert cell.load is not None
            place = (names[cell.trace], cell.fleet, cell.load)
            self.runs.setdefault((place, cell.policy, cell.rates), []).append(figures)
        self.places = list(dict.fromkeys(place for place, _, _ in self.runs))
        self.others = [policy for policy in POLICIES if policy != OURS]

    def p90(self, place: Place, policy: str, rates: str = "learned") -> list[float]:
        return [p90_ttft(run) for run in self.runs[place, policy, rates]]

    def kept(self, place: Place, policy: str, rates: str = "learned") -> list[float]:
        return [slo_share(run) for run in self.runs[place, policy, rates]]

    def best(self, place: Place) -> tuple[str, str]:
        """The best of the nine in p90 TTFT and in goodput, which may be two."""
        fastest = min(self.others, key=lambda policy: mean(self.p90(place, policy)))
        return fastest, max(self.others, key=lambda policy: mean(self.kept(place, policy)))

    def ratio(self, place: Place, rates: str = "learned") -> float:
        """p90 TTFT of the best of the nine over ours."""
        return mean(self.p90(place, self.best(place)[0])) / mean(self.p90(place, OURS, rates))

    def compared(self, place: Place) -> tuple[Verdict, Verdict]:
        """Ours with the best of the nine, in p90 TTFT and in goodput."""
        fastest, keeper = self.best(place)
        sooner = Verdict.of(self.p90(place, fastest), self.p90(place, OURS))
        return sooner, Verdict.of(self.kept(place, OURS), self.kept(place, keeper))

    def rows(self) -> Iterator[Sequence[str]]:
        """Under `HEADINGS`."""
        for place in self.places:
            fastest, keeper = self.best(place)
            ours, kept = self.p90(place, OURS), self.kept(place, OURS)
            sooner, more = self.compared(place)
            yield (
                *map(str, place),
                f"{mean(ours):.2f} ({min(ours):.2f}-{max(ours):.2f})",
                f"{mean(self.p90(place, OURS, 'known')):.2f}" if place[1] in MIXED else "",
                f"{mean(self.p90(place, fastest)):.2f} {fastest}",
                f"{self.ratio(place):.2f}",
                f"{sooner.sign} {sooner.mean:+.2f} ± {sooner.spread:.2f} s",
                f"{mean(kept):.1%} ({min(kept):.1%}-{max(kept):.1%})",
                f"{mean(self.kept(place, keeper)):.1%} {keeper}",
                f"{more.sign} {more.mean:+.1%} ± {more.spread:.1%}",
            )

    def by_policy(self, trace: str, fleet: str) -> Iterator[Sequence[str]]:
        """A row for each policy: p90 TTFT and share within the SLO at every load."""
        places = [(trace, fleet, load) for load in LOADS]
        for policy in (OURS, *self.others):
            of = [(mean(self.p90(place, policy)), mean(self.kept(place, policy))) for place in places]
            yield policy, *(f"{p90:.2f} s, {kept:.1%}" for p90, kept in of)

    def answers_by_policy(self, trace: str, fleet: str) -> Iterator[Sequence[str]]:
        """A row for each policy: p90 TPOT, p50 E2E and imbalance at every load. An SLO that everybody keeps hides
        these."""
        for policy in (OURS, *self.others):
            runs = [self.runs[(trace, fleet, load), policy, "learned"] for load in LOADS]
            yield policy, *map(_answers, runs)

    def highest_load(self, trace: str, fleet: str, policy: str, rates: str = "learned") -> float:
        """By straight lines between the loads of the grid, and down to load 0: where the share within the SLO falls
        below `HOLDS`. The grid's highest load where it does not."""
        before = (0.0, 1.0)
        for load in LOADS:
            share = mean(self.kept((trace, fleet, load), policy, rates))
            if share < HOLDS:
                low, high = before
                return low + (load - low) * (high - HOLDS) / (high - share)
            before = (load, share)
        return LOADS[-1]


def _answers(runs: Sequence[Figures]) -> str:
    """p90 TPOT, p50 E2E and imbalance: means over the seeds."""
    tpot_ms = 1e3 * mean(run["tpot_s"]["p90"] for run in runs)
    e2e_s, imbalance = mean(run["e2e_s"]["p50"] for run in runs), mean(run["imbalance"] for run in runs)
    return f"{tpot_ms:.1f} ms, {e2e_s:.2f} s, {imbalance:.2f}"


def tell(table: Table, traces: Mapping[str, str]) -> dict[str, float]:
    print("\n".join(aligned(HEADINGS, list(table.rows()))))
    print("better by: mean over the seeds and half its 95 % interval; + better, = as good within that, - worse")
    headings = ("policy", *(f"load {load:g}" for load in LOADS))
    for trace, fleet in product(traces, FLEETS):
        print(f"\n{trace} on {fleet}: p90 TTFT, share of the requests within the SLO")
        print("\n".join(markdown(headings, table.by_policy(trace, fleet))))
        print(f"\n{trace} on {fleet}: p90 TPOT, p50 E2E, the busiest replica's work over the mean")
        print("\n".join(markdown(headings, table.answers_by_policy(trace, fleet))))
    verdicts = [table.compared(place) for place in table.places]
    figures: dict[str, float] = {
        "cells": len(verdicts),
        "cells, p90 TTFT as good as the best or better": sum(sooner.sign != "-" for sooner, _ in verdicts),
        "cells, goodput as good as the best or better": sum(more.sign != "-" for _, more in verdicts),
        "cells, p90 TTFT over 2 % worse than the best": sum(table.ratio(p) < 1 / 1.02 for p in table.places),
    }
    mixed = list(product(traces, MIXED))
    for load, rates in product((0.8, 1.0, 1.2), ("learned", "known")):
        ratios = [table.ratio((trace, fleet, load), rates) for trace, fleet in mixed]
        figures[f"mixed, load {load:g}, rates {rates}: best p90 / ours, least"] = min(ratios)
        figures[f"mixed, load {load:g}, rates {rates}: best p90 / ours, mean"] = mean(ratios)
    figures["mixed: p90 learned / known rates, mean"] = mean(
        mean(table.p90((*where, load), OURS)) / mean(table.p90((*where, load), OURS, "known"))
        for where, load in product(mixed, LOADS)
    )
    if "azure" in traces:
        for load in LOADS:
            place = ("azure", "equal8", load)
            least = mean(table.p90(place, "least-outstanding"))
            figures[f"azure, equal, load {load:g}: p90 ours / least outstanding"] = mean(table.p90(place, OURS)) / least
    return {**figures, **tell_highest_loads(table, traces)}


def tell_highest_loads(table: Table, traces: Mapping[str, str]) -> dict[str, float]:
    print(f"\nhighest load with nine tenths of the requests within the SLO ({LOADS[-1]:g}: that or more)")
    loads: list[Sequence[str]] = []
    figures: dict[str, float] = {}
    for trace, fleet in product(traces, FLEETS):
        held = {policy: table.highest_load(trace, fleet, policy) for policy in (OURS, *table.others)}
        known = f"{table.highest_load(trace, fleet, OURS, 'known'):.2f}" if fleet in MIXED else ""
        loads.append((trace, fleet, known, *(f"{load:.2f}" for load in held.values())))
        if fleet in MIXED:
            best = max(held[policy] for policy in table.others)
            figures[f"{trace}, {fleet}: highest load, ours / best of nine"] = held[OURS] / best
    print("\n".join(markdown(("trace", "fleet", f"{OURS}, rates known", OURS, *table.others), loads)))
    return figures


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def run(
    jobs: int = 2,
    out: Path = Path("results/routing-grid"),
    seeds: int = SEEDS,
    requests: int = REQUESTS,
    highest_loads_only: bool = False,
) -> dict[str, float]:
    traces = available()
    wanted = list(cells(traces, list(POLICIES), seeds, requests))
    table = Table(run_cells(wanted, Results(out), jobs), traces)
    return tell_highest_loads(table, traces) if highest_loads_only else tell(table, traces)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.routing_grid", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="windows of each trace (3)")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="in a window (2000)")
    parser.add_argument("--highest-load", action="store_true", help="only that table")
    parser.add_argument("--out", type=Path, default=Path("results/routing-grid"), help="(results/routing-grid)")
    given = parser.parse_args()
    try:
        for figure, value in run(given.jobs, given.out, given.seeds, given.requests, given.highest_load).items():
            print(f"   {figure:64} {value:10.3f}")
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
