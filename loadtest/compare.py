"""`python -m loadtest.compare RUN RUN...`: runs side by side, and beside published results of the same test."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.tables import aligned
from loadtest.command import Refused, outcome
from loadtest.plots import bar_plot, legend, line_plot
from loadtest.published import PUBLISHED, Published
from loadtest.report.page import document, table
from loadtest.report.plots import FIGURES, latency_curve
from loadtest.report.timeline import Timeline, read_timeline
from loadtest.results import read_summary, write_text

HEADINGS = (
    *("run", "benchmark", "scenario", "mode", "verdict", "value", "of the first", "accelerators", "of each"),
    *("TTFT p99", "TPOT p99", "E2E p99", "accuracy", "caches"),
)
PUBLISHED_HEADINGS = ("round", "submitter", "accelerators", "test", "value", "of each", "yours, of each", "of theirs")
Test = tuple[str, str, str, str]


@dataclass(frozen=True)
class Run:
    """A run's folder. `toy`: why its figure says nothing of the official model; '' where it does."""

    folder: Path
    summary: dict[str, Any]
    timeline: Timeline | None

    @property
    def test(self) -> Test:
        """What is measured: figures of different tests are never compared."""
        summary = self.summary
        return summary["benchmark"], summary["scenario"], summary["mode"], summary.get("metric", "")

    @property
    def value(self) -> float | None:
        value: float | None = self.summary.get("value")
        return value

    @property
    def accelerators(self) -> Counter[str]:
        """Name -> how many the replicas of the model hold; empty where they hold none, or do not tell."""
        found: Counter[str] = Counter()
        for model in (self.summary.get("fleet") or {}).get("models", ()):
            if model["name"] == self.summary["model"]:
                for replica in model["replicas"]:
                    if replica["accelerator"]:
                        found[replica["accelerator"]] += replica["tensor_parallel"]
        return found

    @property
    def per_accelerator(self) -> float | None:
        count = self.accelerators.total()
        return self.value / count if self.value is not None and count else None

    @property
    def toy(self) -> str:
        if (self.summary.get("data_set") or {}).get("embedded"):
            return "a toy"
        if str(self.summary["label"]).startswith("quick"):
            return "a quick run"
        return "; ".join(self.summary.get("not_submittable_because") or ())


def read_run(folder: Path) -> Run:
    """Raises Refused."""
    try:
        return Run(folder, read_summary(folder), read_timeline(folder))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Refused(f"{folder}: not a run's folder: {error}") from None


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row a run; ratios against the first run of the same test."""
    firsts: dict[Test, Run] = {}
    for run in runs:
        firsts.setdefault(run.test, run)
    return [_row(run, firsts[run.test]) for run in runs]


def _row(run: Run, first: Run) -> tuple[str, ...]:
    summary = run.summary
    latency = summary.get("latency") or summary.get("latencies") or {}
    accuracy = (summary.get("accuracy") or {}).get("value")
    ratio = run.value / first.value if run is not first and run.value is not None and first.value else None
    return (
        run.folder.name,
        *(str(summary[key]) for key in ("benchmark", "scenario", "mode")),
        str(summary.get("verdict", summary["state"])),
        _number(run.value, summary.get("metric", "")),
        "-" if ratio is None else f"{ratio:.3f}",
        _counted(run.accelerators),
        _number(run.per_accelerator),
        *(_seconds((latency.get(figure) or {}).get("p99")) for figure in FIGURES),
        "-" if accuracy is None else f"{accuracy:.4g}",
        str(summary.get("caches", "-")),
    )


def published_rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Published results of the tests of these runs, each beside the first run on the same accelerator."""
    found = []
    for one in PUBLISHED:
        alike = [run for run in runs if run.test[:2] == (one.benchmark, one.scenario) and run.test[2] == "performance"]
        if alike:
            same = next((run for run in alike if _same(run, one)), None)
            found.append(_published_row(one, same))
    return found


def _same(run: Run, published: Published) -> bool:
    return not run.toy and " + ".join(sorted(run.accelerators)) == published.accelerator


def _published_row(one: Published, run: Run | None) -> tuple[str, ...]:
    mine = run.per_accelerator if run else None
    return (
        one.round,
        one.submitter + (" (open)" if one.division == "open" else ""),
        f"{one.count} x {one.accelerator}",
        f"{one.benchmark} {one.scenario}",
        _number(one.value, one.unit),
        _number(one.per_accelerator),
        _number(mine),
        "-" if mine is None else f"{mine / one.per_accelerator:.2f}",
    )


def remarks(runs: Sequence[Run]) -> list[str]:
    """What must be known beside the tables."""
    found = [f"{run.folder.name} is not comparable with published results: {run.toy}" for run in runs if run.toy]
    if len({run.test for run in runs}) > 1:
        found.append("the runs are of different tests: ratios are within a test")
    return found


def page(runs: Sequence[Run]) -> str:
    """A self-contained HTML document."""
    notes = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(runs))
    parts = [table(HEADINGS, rows(runs)), f"<ul>{notes}</ul>", _plots(runs)]
    if beside := published_rows(runs):
        parts += ["<h2>Published</h2>", table(PUBLISHED_HEADINGS, beside)]
    return document("Runs side by side", ", ".join(run.folder.name for run in runs), *parts)


def _plots(runs: Sequence[Run]) -> str:
    drawn = []
    for test in dict.fromkeys(run.test for run in runs):
        values = {run.folder.name: run.value for run in runs if run.test == test and run.value is not None}
        drawn.append(bar_plot(" ".join(test[:3]), test[3], values))
    names = [run.folder.name for run in runs if run.timeline is not None]
    for figure, name in FIGURES.items():
        curves = {run.folder.name: latency_curve(getattr(run.timeline, figure)) for run in runs if run.timeline}
        if any(curves.values()):
            drawn.append(line_plot(f"{name}, s", "percentile", curves, dots=False))
    return f'<div class="plots">{"".join(drawn)}{legend(names)}</div>'


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.2f} {unit}".strip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _counted(accelerators: Counter[str]) -> str:
    return " + ".join(f"{count} x {name}" for name, count in sorted(accelerators.items())) or "-"


def main(arguments: list[str]) -> int:
    """0: compared; 2: refused."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a page with plots there, such as compare.html")
    given = parser.parse_args(arguments)

    def compare() -> bool:
        runs = [read_run(folder) for folder in given.runs]
        print("\n".join(aligned(HEADINGS, rows(runs))))
        if beside := published_rows(runs):
            print("\n".join(["", *aligned(PUBLISHED_HEADINGS, beside)]))
        print("\n".join(remarks(runs)))
        if given.out is not None:
            write_text(given.out, page(runs))
            print(f"page: {given.out}")
        return True

    return outcome(compare)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
