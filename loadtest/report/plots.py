"""The plots of a run's page: latencies, throughput, what was in flight, and who answered how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.plots import Points, bar_plot, legend, line_plot
from loadtest.report.timeline import Timeline, Times

BINS = 100
"""Of the time axis: enough to see a stall, few enough for a page of any run."""
PERCENTILES = np.concatenate([np.arange(0.0, 99.0, 1.0), np.arange(99.0, 100.01, 0.1)])
MOST_BARS = 24

FIGURES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "E2E"}


def plots(timeline: Timeline, limits: Mapping[str, float | None] | None = None) -> str:
    """HTML of all plots for which the timeline has data. `limits`: figure -> seconds that its 99th percentile keeps."""
    if not len(timeline) or not timeline.seconds:
        return ""
    drawn = [*_latencies(timeline, limits or {}), *_over_time(timeline), *_shares(timeline)]
    return f'<h2>Plots</h2><div class="plots">{"".join(drawn)}</div>'


def latency_curve(seconds: Times) -> Points:
    """(percentile, seconds) of those that are known."""
    known = seconds[~np.isnan(seconds)]
    if not known.size:
        return []
    values = np.percentile(known, PERCENTILES)
    return list(zip(PERCENTILES.tolist(), values.tolist(), strict=True))


def _latencies(timeline: Timeline, limits: Mapping[str, float | None]) -> list[str]:
    drawn = []
    for figure, name in FIGURES.items():
        if curve := latency_curve(getattr(timeline, figure)):
            limit = limits.get(figure)
            told = {f"limit of p99, {limit:g} s": limit} if limit is not None else {}
            drawn.append(line_plot(f"{name}, s", "percentile", {name: curve}, dots=False, limits=told))
    return drawn


def _over_time(timeline: Timeline) -> list[str]:
    edges = np.linspace(0.0, timeline.seconds, BINS + 1)
    width = edges[1]
    done = ~timeline.failed
    answers, _ = np.histogram(timeline.end[done], edges)
    tokens, _ = np.histogram(timeline.end[done], edges, weights=np.nan_to_num(timeline.tokens[done]))
    drawn = [line_plot("answers/s", "s", {"answers": _points(edges, answers / width)}, dots=False)]
    if tokens.any():
        drawn.append(line_plot("tokens/s", "s", {"tokens": _points(edges, tokens / width)}, dots=False))
    lines = {
        "due and not answered": _open(timeline.due, timeline.end, edges),
        "sent and not answered": _open(timeline.sent, timeline.end, edges),
    }
    drawn.append(line_plot("in flight", "s", lines, dots=False) + legend(list(lines)))
    return drawn


def _open(begin: Times, end: Times, edges: Times) -> Points:
    """How many had begun and not ended at each edge."""
    begun = np.searchsorted(np.sort(begin[~np.isnan(begin)]), edges, side="right")
    ended = np.searchsorted(np.sort(end[~np.isnan(end)]), edges, side="right")
    return list(zip(edges.tolist(), (begun - ended).astype(float).tolist(), strict=True))


def _points(edges: Times, values: npt.NDArray[Any]) -> Points:
    centres = (edges[:-1] + edges[1:]) / 2
    return list(zip(centres.tolist(), values.astype(float).tolist(), strict=True))


def _shares(timeline: Timeline) -> list[str]:
    drawn = []
    for title, names in (("answers by pool", timeline.pool), ("answers by replica", timeline.replica)):
        counted = Counter(name for name in names if name)
        if counted:
            shown = dict(sorted(counted.most_common(MOST_BARS)))
            more = f", the first {MOST_BARS} of {len(counted)}" if len(counted) > MOST_BARS else ""
            drawn.append(bar_plot(title + more, "", {name: float(count) for name, count in shown.items()}))
    return drawn
