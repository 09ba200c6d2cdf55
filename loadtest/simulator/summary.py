"""Cells over their seeds, and what a person wants to read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from loadtest.simulator.cells import Cell, Figures
from loadtest.traces.loading import brief

WHERE = ("trace", "fleet", "rates")
FIGURES = (
    "load",
    "policy",
    "in SLO",
    "goodput/s",
    "TTFT p50/p90/p99 s",
    "p90 over seeds",
    "TPOT p50/p90/p99 ms",
    "E2E p50/p90/p99 s",
    "hit",
    "imbalance",
    "preempted",
)
HEADINGS = (*WHERE, *FIGURES)


@dataclass(frozen=True)
class Group:
    """One cell's runs over all of its seeds. `cell` has the first one's."""

    cell: Cell
    runs: Mapping[int, Figures]

    def values(self, of: Callable[[Figures], float]) -> list[float]:
        return [of(run) for run in self.runs.values()]

    def mean(self, of: Callable[[Figures], float]) -> float:
        values = self.values(of)
        return sum(values) / len(values)


def grouped(results: Mapping[Cell, Figures]) -> list[Group]:
    """In the order of the cells."""
    groups: dict[Cell, dict[int, Figures]] = {}
    for cell, figures in results.items():
        groups.setdefault(replace(cell, seed=0), {})[cell.seed] = figures
    return [Group(cell, runs) for cell, runs in groups.items()]


def p90_ttft(figures: Figures) -> float:
    return quantile(figures, "ttft_s", "p90")


def slo_share(figures: Figures) -> float:
    return float(figures["slo_share"])


def goodput(figures: Figures) -> float:
    return float(figures["goodput_per_s"])


def quantile(figures: Figures, of: str, name: str) -> float:
    """NaN where no request had the time."""
    return float(figures[of][name]) if figures[of] else float("nan")


def rows(groups: Sequence[Group]) -> list[Sequence[str]]:
    """Under `HEADINGS`: means over the seeds, and the range where it says so."""
    named = names(group.cell.trace for group in groups)
    return [(named[g.cell.trace], g.cell.fleet, g.cell.rates, *figures_of(g)) for g in groups]


def figures_of(group: Group) -> Sequence[str]:
    """Under `FIGURES`."""
    cell = group.cell
    p90s = group.values(p90_ttft)
    return (
        load_text(cell),
        cell.policy,
        f"{group.mean(slo_share):.1%}",
        f"{group.mean(goodput):.2f}",
        _quantiles(group, "ttft_s", 1, 2),
        f"{min(p90s):.2f}-{max(p90s):.2f}",
        _quantiles(group, "tpot_s", 1e3, 1),
        _quantiles(group, "e2e_s", 1, 1),
        f"{group.mean(lambda f: float(f['token_hit_rate'])):.3f}",
        f"{group.mean(lambda f: float(f['imbalance'])):.2f}",
        f"{group.mean(lambda f: float(f['preemptions'])):.0f}",
    )


def load_text(cell: Cell) -> str:
    return f"{cell.load:g}" if cell.load is not None else f"{cell.rate:g}/s"


def names(traces: Iterable[str]) -> dict[str, str]:
    """What to call each: without folders and settings, where these do not tell them apart."""
    distinct = list(dict.fromkeys(traces))
    short = [brief(trace) for trace in distinct]
    return {trace: name if short.count(name) == 1 else trace for trace, name in zip(distinct, short, strict=True)}


def _quantiles(group: Group, of: str, factor: float, decimals: int) -> str:
    means = (group.mean(lambda f, name=name: quantile(f, of, name)) * factor for name in ("p50", "p90", "p99"))  # type: ignore[misc]
    return " / ".join(f"{mean:.{decimals}f}" for mean in means)
