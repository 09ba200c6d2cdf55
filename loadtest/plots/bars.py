"""Shares and values as bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from loadtest.plots.axis import told
from loadtest.plots.svg import WIDTH, colour, element, nothing

TOP, BAR = 28, 20
NAMES, VALUES = 175, 115
"""Widths of a bar's name and of its value."""
NAME_CHARACTERS = 25


def bar_plot(
    title: str,
    values: Mapping[str, float],
    tell: Callable[[float], str] = told,
    colours: Mapping[str, str] | None = None,
) -> str:
    """An SVG element: a bar for each name, the longest across the whole width, and beside it what `tell` says of it.

    `colours`: those of names that have one of their own, as in a legend.
    """
    colours = colours or {}
    most = max(values.values(), default=0.0)
    if most <= 0:
        return nothing(title)
    parts = [f'<text x="4" y="16" class="title">{escape(title)}</text>']
    for number, (name, value) in enumerate(values.items()):
        fill = colours.get(name, colour(0))
        y, width = TOP + BAR * number, (WIDTH - NAMES - VALUES) * max(value, 0.0) / most
        parts.append(
            f'<text x="{NAMES - 6}" y="{y + 12}" class="end">{escape(_short(name))}<title>{escape(name)}</title></text>'
            f'<rect x="{NAMES}" y="{y + 2}" width="{width:.1f}" height="{BAR - 6}" fill="{fill}"/>'
            f'<text x="{NAMES + width + 5:.1f}" y="{y + 12}">{escape(tell(value))}</text>'
        )
    description = "; ".join(f"{name}: {tell(value)}" for name, value in values.items())
    return element(title, description, TOP + BAR * len(values) + 8, parts)


def _short(name: str) -> str:
    """Its end, where it is long: that is what tells replicas apart."""
    return name if len(name) <= NAME_CHARACTERS else "…" + name[-NAME_CHARACTERS + 1 :]
