"""Lines over an axis, and the limits that they should keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from loadtest.plots.axis import Axis, told
from loadtest.plots.svg import WIDTH, colour, element, nothing

Points = Sequence[tuple[float, float]]

HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 28, 36
HEADROOM = 1.05
"""Of the upper axis over the largest value, so that no line lies on the frame."""
FARTHEST_LIMIT = 3.0
"""Times the largest value. A limit further up is told, not drawn: it would press the lines flat."""


def line_plot(
    title: str,
    x_label: str,
    lines: Mapping[str, Points],
    logarithmic: bool = False,
    dots: bool = True,
    limits: Mapping[str, float] | None = None,
    x_ticks: Mapping[float, str] | None = None,
) -> str:
    """An SVG element. Points that are not finite, or not positive on a logarithmic axis, are left out.

    `limits`: what is drawn across, name -> value. `x_ticks`: value -> what stands below it, in place of round numbers.
    """
    drawn = {name: _drawable(points, logarithmic) for name, points in lines.items()}
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    if not xs:
        return nothing(title)
    limits = limits or {}
    near = [value for value in limits.values() if value <= FARTHEST_LIMIT * max(ys)]
    lowest, highest = min([*ys, *near]), HEADROOM * max([*ys, *near])
    across = Axis.around(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = Axis.around(lowest if logarithmic else 0.0, highest, HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [_grid(across, up, x_ticks), f'<text x="{LEFT}" y="16" class="title">{escape(title)}</text>']
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" class="mid">{escape(x_label)}</text>')
    for number, (name, points) in reversed(list(enumerate(drawn.items()))):
        if points:
            parts.append(_line(name, points, across, up, colour(number), 3 if number == 0 else 1.5, dots))
    parts += (_limit(name, value, up) for name, value in limits.items())
    return element(title, _description(x_label, drawn, limits), HEIGHT, parts)


def _drawable(points: Points, logarithmic: bool) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not logarithmic)]


def _grid(across: Axis, up: Axis, x_ticks: Mapping[float, str] | None) -> str:
    width, height = WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP
    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" class="ground"/>']
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{told(tick)}</text>')
    for tick, name in (x_ticks or {tick: told(tick) for tick in across.ticks()}).items():
        if across.low <= tick <= across.high:
            x = across.at(tick)
            parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" class="grid"/>')
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" class="mid">{escape(name)}</text>')
    return "".join(parts)


def _line(name: str, points: Points, across: Axis, up: Axis, stroke: str, width: float, dotted: bool) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{stroke}"/>' for x, y in places if dotted)
    drawn = f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"/>'
    return f"<g><title>{escape(name)}</title>{drawn}{dots}</g>"


def _limit(name: str, value: float, up: Axis) -> str:
    if not up.low <= value <= up.high:
        return f'<text x="{WIDTH - RIGHT - 4}" y="16" class="end">{escape(name)}: further up</text>'
    y = up.at(value)
    below = y < TOP + 16
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="limit"/>'
        f'<text x="{LEFT + 6}" y="{y + (14 if below else -4):.1f}">{escape(name)}</text>'
    )


def _description(x_label: str, lines: Mapping[str, Points], limits: Mapping[str, float]) -> str:
    """The plot in words, for who does not see it."""
    spans = [
        f"{name}: from {told(points[0][1])} to {told(points[-1][1])}, at most {told(max(y for _, y in points))}"
        for name, points in lines.items()
        if points
    ]
    return "; ".join([f"lines over {x_label}", *spans, *limits])
