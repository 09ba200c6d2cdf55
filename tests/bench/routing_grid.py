"""Our rule beside nine of the field's, in simulated fleets: equal and mixed, three traces, from light load to overload.

`python -m tests.bench.routing_grid [--jobs N]`: some 50 minutes on two cores; what is finished is kept and skipped the
next time. Mooncake's conversations, Azure's code completions, and 150 groups that share system prompts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean

from deployments.routing import POLICIES
from loadtest.report.text import aligned
from loadtest.simulator.cells import Cell, Figures
from loadtest.simulator.grid import Results, run_cells
from loadtest.simulator.summary import p90_ttft, slo_share

TRACES = {
    "mooncake": "../shared/data/traces/mooncake_conversation.jsonl",
    "azure": "../shared/data/traces/azure_2023_code.csv",
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

Place = tuple[str, str, float]
"""Trace, fleet, load."""


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

    def rows(self) -> Iterator[Sequence[str]]:
        for place in self.places:
            fastest, keeper = self.best(place)
            ours, theirs = self.p90(place, OURS), self.p90(place, fastest)
            kept, most = self.kept(place, OURS), self.kept(place, keeper)
            yield (
                *map(str, place),
                f"{mean(ours):.2f} ({min(ours):.2f}-{max(ours):.2f})",
                f"{mean(theirs):.2f} {fastest}",
                f"{mean(theirs) / mean(ours):.2f}",
                f"{mean(kept):.1%}",
                f"{mean(most):.1%} {keeper}",
                verdict([-value for value in ours], [-value for value in theirs], 0.02 * mean(theirs)),
                verdict(kept, most, 0.002),
            )

    def highest_load(self, trace: str, fleet: str, policy: str, rates: str = "learned") -> float:
        """By straight lines between the loads of the grid: where the share within the SLO falls below `HOLDS`."""
        before = (0.0, 1.0)
        for load in LOADS:
            share = mean(self.kept((trace, fleet, load), policy, rates))
            if share < HOLDS:
                low, high = before
                return low + (load - low) * (high - HOLDS) / (high - share)
            before = (load, share)
        return LOADS[-1]


def verdict(ours: Sequence[float], theirs: Sequence[float], tie: float) -> str:
    """Larger is better. `+`: better in the mean; `=`: as good within `tie` or the spread of the paired differences."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if mean(differences) > 0:
        return "+"
    spread = (max(differences) - min(differences)) / 2
    return "=" if mean(differences) + max(tie, spread) >= 0 else "-"


def tell(table: Table, traces: Mapping[str, str]) -> dict[str, float]:
    headings = ("trace", "fleet", "load", "p90 TTFT s", "best of nine", "ratio", "in SLO", "best of nine", "p90", "SLO")
    rows = list(table.rows())
    print("\n".join(aligned(headings, rows)))
    print("\nhighest load with nine tenths of the requests within the SLO (1.4: all loads of the grid)")
    policies = [OURS, *table.others]
    loads = [
        (trace, fleet, *(f"{table.highest_load(trace, fleet, policy):.2f}" for policy in policies))
        for trace in traces
        for fleet in FLEETS
    ]
    print("\n".join(aligned(("trace", "fleet", *policies), loads)))
    figures: dict[str, float] = {
        "cells, p90 TTFT as good as the best": sum(row[-2] != "-" for row in rows),
        "cells, goodput as good as the best": sum(row[-1] != "-" for row in rows),
        "cells": len(rows),
    }
    for load in (0.8, 1.0, 1.2):
        ratios = [
            min(mean(table.p90((trace, fleet, load), policy)) for policy in table.others)
            / mean(table.p90((trace, fleet, load), OURS))
            for trace in traces
            for fleet in MIXED
        ]
        figures[f"mixed, load {load:g}: best p90 / ours, least"] = min(ratios)
        figures[f"mixed, load {load:g}: best p90 / ours, mean"] = mean(ratios)
    if "azure" in traces:
        places = [("azure", "equal8", load) for load in LOADS]
        worst = [mean(table.p90(p, OURS)) / mean(table.p90(p, "least-outstanding")) for p in places]
        figures["azure, equal: p90 ours / least outstanding, worst"] = max(worst)
    known = [p for p in table.places if p[1] in MIXED]
    figures["mixed: p90 learned / known rates, mean"] = mean(
        mean(table.p90(p, OURS)) / mean(table.p90(p, OURS, "known")) for p in known
    )
    return figures


def run(jobs: int = 2, out: Path = Path("results/routing-grid"), seeds: int = SEEDS) -> dict[str, float]:
    traces = available()
    wanted = list(cells(traces, list(POLICIES), seeds, REQUESTS))
    return tell(Table(run_cells(wanted, Results(out), jobs), traces), traces)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.routing_grid", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="windows of each trace (3)")
    parser.add_argument("--out", type=Path, default=Path("results/routing-grid"), help="(results/routing-grid)")
    given = parser.parse_args()
    try:
        for figure, value in run(given.jobs, given.out, given.seeds).items():
            print(f"   {figure:52} {value:10.3f}")
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
