"""Plots as SVG inside a page: lines over an axis, and shares as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 28, 36
BAR, NAMES, VALUES = 20, 150, 90
"""Height of a bar, and widths of its name and its value."""
NAME_CHARACTERS = 24
HEADROOM = 1.05
"""Of the upper axis over the largest value, so that no line lies on the frame."""
COLOURS = ("#d1242f", "#57606a", "#0969da", "#1a7f37", "#8250df", "#bf8700", "#0b7285", "#e85aad", "#a0522d", "#2f4858")
"""The first is the first policy's, drawn thicker and on top."""


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [t for e in exponents for m in (1, 3) if self.low <= (t := m * 10.0**e) <= self.high]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def line_plot(
    title: str,
    x_label: str,
    lines: Mapping[str, Points],
    logarithmic: bool = False,
    dots: bool = True,
    limits: Mapping[str, float] | None = None,
) -> str:
    """An SVG element. Points that are not finite, or not positive on a logarithmic axis, are left out.

    `limits` are drawn across at their values, as far as they lie within the axis.
    """
    drawn = {name: _drawable(points, logarithmic) for name, points in lines.items()}
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    if not xs:
        return f"<p>{escape(title)}: nothing to draw.</p>"
    across = _axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, False)
    up = _axis(min(ys) if logarithmic else 0.0, HEADROOM * max(ys), HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [_grid(across, up), f'<text x="{LEFT}" y="16" class="title">{escape(title)}</text>']
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" class="mid">{escape(x_label)}</text>')
    for number, (name, points) in reversed(list(enumerate(drawn.items()))):
        parts.append(_line(name, points, across, up, COLOURS[number % len(COLOURS)], 3 if number == 0 else 1.5, dots))
    parts += (_limit(name, up.at(value)) for name, value in (limits or {}).items() if up.low <= value <= up.high)
    return _svg(title, HEIGHT, parts)


def bar_plot(title: str, unit: str, values: Mapping[str, float]) -> str:
    """An SVG element: a bar for each name, the longest across the whole width, its value beside it."""
    most = max(values.values(), default=0.0)
    if most <= 0:
        return f"<p>{escape(title)}: nothing to draw.</p>"
    height = TOP + BAR * len(values) + 8
    parts = [f'<text x="4" y="16" class="title">{escape(title)}</text>']
    for number, (name, value) in enumerate(values.items()):
        y, width = TOP + BAR * number, (WIDTH - NAMES - VALUES) * value / most
        parts.append(f'<text x="{NAMES - 6}" y="{y + 12}" class="end">{escape(_short(name))}</text>')
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{NAMES}" y="{y + 2}" width="{width:.1f}" height="{BAR - 6}" fill="{colour}"/>')
        parts.append(f'<text x="{NAMES + width + 5:.1f}" y="{y + 12}">{value:,.4g} {escape(unit)}</text>')
    return _svg(title, height, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>"
    )


def _short(name: str) -> str:
    """Its end, where it is long: that is what tells replicas apart."""
    return name if len(name) <= NAME_CHARACTERS else "…" + name[-NAME_CHARACTERS + 1 :]


def _limit(name: str, y: float) -> str:
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d1242f" stroke-dasharray="5 4"/>'
        f'<text x="{WIDTH - RIGHT - 4}" y="{y - 4:.1f}" class="end">{escape(name)}</text>'
    )


def legend(names: Sequence[str]) -> str:
    """What the colours of a page's plots mean."""
    squares = (f'<b style="color:{COLOURS[n % len(COLOURS)]}">&#9632;</b>' for n in range(len(names)))
    entries = (
        f'<span style="margin-right:1.2em;display:inline-block">{square} {escape(name)}</span>'
        for square, name in zip(squares, names, strict=True)
    )
    return f"<p>{''.join(entries)}</p>"


_STYLE = (
    "text{font:11px sans-serif;fill:#444}.title{font-weight:bold;font-size:12px}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
)


def _axis(low: float, high: float, start: float, end: float, logarithmic: bool) -> Axis:
    if logarithmic:
        return Axis(low * 0.8, high * 1.25, start, end, True)
    return Axis(low, high if high > low else low + 1, start, end)


def _drawable(points: Points, logarithmic: bool) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not logarithmic)]


def _grid(across: Axis, up: Axis) -> str:
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - RIGHT - LEFT}" height="{HEIGHT - BOTTOM - TOP}" fill="#fafafa"/>'
    ]
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{tick:g}</text>')
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" class="mid">{tick:g}</text>')
    return "".join(parts)


def _line(name: str, points: Points, across: Axis, up: Axis, colour: str, width: float, dotted: bool) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places if dotted)
    drawn = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
    return f"<g><title>{escape(name)}</title>{drawn}{dots}</g>"
