"""Runs of one test side by side, with ratios to the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.compare.runs import Run
from loadtest.report.rows import accuracy_cell

NONE = "-"
PERCENTILES = ("p50", "p90", "p99")

Row = Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A number of a run, None where it has none, and how it is written."""

    name: str
    of: Callable[[Run], float | None]
    tell: Callable[[Run, float], str]

    def row(self, runs: Sequence[Run]) -> Row:
        return (self.name, *(self._cell(run, runs[0]) for run in runs))

    def _cell(self, run: Run, first: Run) -> str:
        value, base = self.of(run), self.of(first)
        if value is None:
            return NONE
        told = self.tell(run, value)
        return f"{told} (x {value / base:.3f})" if run is not first and base and run.metric == first.metric else told


def _latency(figure: str, name: str, factor: int, unit: str, percentile: str) -> Figure:
    def of(run: Run) -> float | None:
        told = run.summary.get("latency") or run.summary.get("latencies") or {}
        seconds: float | None = (told.get(figure) or {}).get(percentile)
        return seconds

    return Figure(f"{name} {percentile}", of, lambda _, seconds: f"{seconds * factor:.3f} {unit}")


def _in_its_unit(run: Run, value: float) -> str:
    return f"{value:,.2f} {run.metric}"


FIGURES: Sequence[Figure] = [
    Figure("value", lambda run: run.value, _in_its_unit),
    Figure("of each accelerator", lambda run: run.per_accelerator, _in_its_unit),
    *(_latency("ttft_s", "TTFT", 1, "s", percentile) for percentile in PERCENTILES),
    *(_latency("tpot_s", "TPOT", 1000, "ms", percentile) for percentile in PERCENTILES),
    *(_latency("e2e_s", "E2E", 1, "s", percentile) for percentile in PERCENTILES),
    Figure(
        "accuracy",
        lambda run: (run.summary.get("accuracy") or {}).get("value"),
        lambda run, _: accuracy_cell(run.summary.get("accuracy")),
    ),
]


def counted(many: Mapping[str, int]) -> str:
    """Such as `8 x h200 + 8 x mi350x`."""
    return " + ".join(f"{count} x {name}" for name, count in sorted(many.items()))


def _plain(value: Any, unit: str = "") -> str | None:
    return None if value is None else f"{value:,.2f}{unit}"


def _fleet(run: Run) -> str:
    """Its accelerators, or the replicas of each pool where they have none."""
    return counted(run.accelerators or Counter(f"{replica['pool']} ({replica['engine']})" for replica in run.replicas))


def _versions(run: Run) -> str:
    engines = {f"{replica['engine']} {replica['engine_version']}" for replica in run.replicas}
    packages = (f"{name} {version}" for name, version in (run.summary.get("versions") or {}).items())
    return ", ".join([*sorted(engines), *packages])


Words = Mapping[str, Callable[[Run], str | None]]

ABOVE: Words = {
    "verdict": lambda run: str(run.summary.get("verdict", run.summary["state"])),
    "round": lambda run: run.summary.get("round"),
}
BELOW: Words = {
    "target rate": lambda run: _plain(run.summary.get("target_qps"), "/s"),
    "samples answered": lambda run: f"{run.summary['samples_answered']:,} of {run.summary['samples_issued']:,}",
    "seconds": lambda run: _plain(run.summary.get("seconds")),
    "caches": lambda run: run.summary.get("caches"),
    "fleet": _fleet,
    "checkpoint": lambda run: run.summary.get("checkpoint"),
    "versions": _versions,
}


def side_by_side(runs: Sequence[Run]) -> tuple[Row, list[Row]]:
    """Headings and rows of runs of one test, a column each. What no run has is left out."""
    rows = [*_told(ABOVE, runs), *(figure.row(runs) for figure in FIGURES), *_told(BELOW, runs)]
    return (runs[0].test.title, *(run.name for run in runs)), [row for row in rows if set(row[1:]) != {NONE}]


def _told(words: Words, runs: Sequence[Run]) -> list[Row]:
    return [(name, *(of(run) or NONE for run in runs)) for name, of in words.items()]
