"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from loadtest.compare.runs import Run, by_test
from loadtest.compare.sides import side_by_side
from loadtest.compare.standing import HEADINGS, Standing, best_of_each, measured_as_published, remarks, standings
from loadtest.plots.bars import bar_plot
from loadtest.plots.svg import colour, legend
from loadtest.report.page import document, table
from loadtest.report.plots import FIGURES, latency_curve, latency_plot

MINE = colour(1)
"""Of bars that are not of published results."""


def page(runs: Sequence[Run]) -> str:
    """A self-contained HTML document: a section for each test."""
    notes = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(runs))
    sections = [_section(members) for members in by_test(runs).values()]
    sections += [_published(test, members) for test, members in measured_as_published(runs).items()]
    label = "Toys, shortened runs and those that are INVALID are compared with nothing published."
    return document("Runs side by side", label, f"<ul>{notes}</ul>", *sections)


def _section(runs: Sequence[Run]) -> str:
    plots = legend([run.name for run in runs]) + "".join(_plots(runs))
    sides = table(*side_by_side(runs))
    return f'<h2>{escape(runs[0].test.title)}</h2>{sides}<div class="plots">{plots}</div>'


def _published(test: str, runs: Sequence[Run]) -> str:
    found = standings(runs)
    rows = table(HEADINGS, [standing.row for standing in found])
    return f'<h2>{escape(test)}, published</h2>{rows}<div class="plots">{_beside_published(runs, found)}</div>'


def _plots(runs: Sequence[Run]) -> list[str]:
    colours = {str(run.number): colour(place) for place, run in enumerate(runs)}
    drawn = []
    for metric in dict.fromkeys(run.metric for run in runs if run.value is not None):
        values = {str(run.number): run.value or 0.0 for run in runs if run.metric == metric}
        drawn.append(bar_plot(metric, values, colours=colours))
    limits = runs[0].summary.get("limits") or {}
    for figure in FIGURES:
        curves = {run.name: latency_curve(getattr(run.timeline, figure)) if run.timeline else [] for run in runs}
        drawn.append(latency_plot(figure, curves, limits))
    return drawn


def _beside_published(runs: Sequence[Run], found: Sequence[Standing]) -> str:
    """Of each accelerator, best first: the runs that may stand there, and what is published of each hardware."""
    mine = {
        f"run {run.number}: {' + '.join(sorted(run.accelerators))}": run.per_accelerator
        for run in runs
        if run.per_accelerator and not run.obstacles
    }
    if not mine:
        return ""
    theirs = {
        f"{one.round}: {' + '.join(sorted(one.accelerators))}": one.per_accelerator
        for one in (standing.one for standing in best_of_each(found))
    }
    bars = dict(sorted((mine | theirs).items(), key=lambda bar: -bar[1]))
    return bar_plot(f"{found[0].one.unit} of each accelerator", bars, colours=dict.fromkeys(mine, MINE))
