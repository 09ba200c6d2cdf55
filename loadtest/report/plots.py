"""The plots of a run's page: latencies, throughput, what waited and was in flight, and who answered how much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import compress

import numpy as np
import numpy.typing as npt

from loadtest.plots.axis import told
from loadtest.plots.bars import bar_plot
from loadtest.plots.lines import Points, line_plot
from loadtest.plots.svg import colour, legend
from loadtest.report.timeline import Timeline, Times

FEWEST_BINS, MOST_BINS = 5, 100
"""Of the time axis: enough to see a stall, few enough for a page of any run."""
ANSWERS_A_BIN = 8
"""On average, so that a short run's throughput is a rate and no row of single answers."""
CURVE_POINTS = 120
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
MOST_BARS = 24
MOST_POOLS = 6
"""With more, lines of single pools could not be told apart."""
ALL = "all requests"

FIGURES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "E2E"}

Mask = npt.NDArray[np.bool_]


def plots(timeline: Timeline, limits: Mapping[str, float | None] | None = None) -> str:
    """HTML of all plots for which the timeline has data. `limits`: figure -> seconds that its 99th percentile keeps."""
    if not timeline.seconds:
        return ""
    groups = _groups(timeline)
    drawn = [legend(list(groups))] if len(groups) > 1 else []
    drawn += [*_latencies(timeline, groups, limits or {}), *_throughput(timeline, groups)]
    drawn += [*_shares(timeline, groups), *_stages(timeline)]
    return f'<h2>Plots</h2><div class="plots">{"".join(drawn)}</div>'


def latency_plot(figure: str, lines: Mapping[str, Points], limits: Mapping[str, float | None]) -> str:
    """Curves of a figure, one of FIGURES, with the limit that its 99th percentile keeps; '' where there is none."""
    if not any(lines.values()):
        return ""
    limit = limits.get(figure)
    told_limits = {f"limit of p99: {limit:g} s": limit} if limit is not None else {}
    ticks = {0.0: "0", **{_place(percentile): f"{percentile:g}" for percentile in PERCENTILES}}
    return line_plot(f"{FIGURES[figure]}, s", "percentile", lines, dots=False, limits=told_limits, x_ticks=ticks)


def latency_curve(seconds: Times) -> Points:
    """(place, seconds) of those that are known; a place is the negative logarithm of the share that took longer, so
    that 90, 99 and 99.9 % stand equally far apart. Ends where there is one sample left."""
    known = seconds[~np.isnan(seconds)]
    if not known.size:
        return []
    places = np.linspace(0.0, math.log10(known.size + 1), CURVE_POINTS)
    values = np.percentile(known, 100 * (1 - 10**-places))
    return list(zip(places.tolist(), values.tolist(), strict=True))


def _place(percentile: float) -> float:
    return -math.log10(1 - percentile / 100)


def _groups(timeline: Timeline) -> dict[str, Mask]:
    """All requests, and those of each pool where there are several."""
    pools = sorted({pool for pool in timeline.pool if pool})
    groups: dict[str, Mask] = {ALL: np.ones(len(timeline), dtype=bool)}
    if 2 <= len(pools) <= MOST_POOLS:
        by_pool = np.array(timeline.pool)
        groups |= {pool: by_pool == pool for pool in pools}
    return groups


def _latencies(timeline: Timeline, groups: Mapping[str, Mask], limits: Mapping[str, float | None]) -> list[str]:
    return [
        latency_plot(
            figure, {name: latency_curve(getattr(timeline, figure)[of]) for name, of in groups.items()}, limits
        )
        for figure in FIGURES
    ]


def _throughput(timeline: Timeline, groups: Mapping[str, Mask]) -> list[str]:
    answered = {name: of & ~timeline.failed & ~np.isnan(timeline.end) for name, of in groups.items()}
    bins = min(MOST_BINS, max(FEWEST_BINS, int(answered[ALL].sum()) // ANSWERS_A_BIN))
    drawn = []
    for title, weights in (("answers/s", np.ones(len(timeline))), ("tokens/s", np.nan_to_num(timeline.tokens))):
        if weights.any():
            lines = {n: rates(timeline.end[of], weights[of], timeline.seconds, bins) for n, of in answered.items()}
            drawn.append(line_plot(title, "s", lines, dots=False))
    return drawn


def rates(at: Times, weights: Times, seconds: float, bins: int) -> Points:
    """(middle of a bin, what came in it a second). `at` lies within 0 and `seconds`."""
    counted, edges = np.histogram(at, bins, (0.0, seconds), weights=weights)
    return _points((edges[:-1] + edges[1:]) / 2, counted / (seconds / bins))


def _shares(timeline: Timeline, groups: Mapping[str, Mask]) -> list[str]:
    """Bars in the colours of their pools' lines."""
    pools = {name: colour(number) for number, name in enumerate(groups)}
    answered = [not failed for failed in timeline.failed]
    by_pool = _share("answers by pool", compress(timeline.pool, answered), pools)
    of_replica = dict(zip(timeline.replica, timeline.pool, strict=False))
    replicas = {replica: pools[pool] for replica, pool in of_replica.items() if pool in pools}
    return [by_pool, _share("answers by replica", compress(timeline.replica, answered), replicas)]


def _share(title: str, names: Iterable[str], colours: Mapping[str, str]) -> str:
    counted = Counter(name for name in names if name)
    total = counted.total()
    if not total:
        return ""
    shown = {name: float(count) for name, count in sorted(counted.most_common(MOST_BARS))}
    more = f", the first {MOST_BARS} of {len(counted)}" if len(counted) > MOST_BARS else ""
    return bar_plot(title + more, shown, lambda count: f"{told(count)} ({count / total:.1%})", colours)


def _stages(timeline: Timeline) -> list[str]:
    """What was at which stage. Where no first token is known, an answer has one stage."""
    sent = np.where(np.isnan(timeline.sent), timeline.end, timeline.sent)
    stages = {"due, not sent": (timeline.due, sent)}
    if np.isnan(timeline.first).all():
        stages["sent, not answered"] = (sent, timeline.end)
    else:
        first = np.where(np.isnan(timeline.first), timeline.end, timeline.first)
        stages |= {"sent, no token yet": (sent, first), "being answered": (first, timeline.end)}
    edges = np.linspace(0.0, timeline.seconds, MOST_BINS + 1)
    lines = {name: _points(edges, _between(begin, end, edges)) for name, (begin, end) in stages.items()}
    return [legend(list(lines)), line_plot("requests at each stage", "s", lines, dots=False)]


def _between(begin: Times, end: Times, edges: Times) -> Times:
    """How many had begun and not ended at each edge."""
    begun = np.searchsorted(np.sort(begin[~np.isnan(begin)]), edges, side="right")
    ended = np.searchsorted(np.sort(end[~np.isnan(end)]), edges, side="right")
    return (begun - ended).astype(float)


def _points(x: Times, y: Times) -> Points:
    return list(zip(x.tolist(), y.tolist(), strict=True))
