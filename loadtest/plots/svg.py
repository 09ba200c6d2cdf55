"""What all plots have in common: size, colours, the element, the legend."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 460
COLOURS = ("#3b82f6", "#e8710a", "#2e9e4f", "#9b6bdf", "#1098ad", "#e0569b", "#b8860b", "#868e96", "#a8714a", "#5c7cfa")
"""Each can be told from white and from black. The first is drawn thicker and on top; red is for limits."""

_STYLE = (
    ".plot text{font:11px sans-serif;fill:#444}.plot .title{font-weight:bold;font-size:12px}"
    ".plot .end{text-anchor:end}.plot .mid{text-anchor:middle}"
    ".plot .ground{fill:#8881}.plot .grid{stroke:#8884}.plot .limit{stroke:#d1242f;stroke-dasharray:5 4}"
    "@media(prefers-color-scheme:dark){.plot text{fill:#ccc}}"
)


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def element(title: str, description: str, height: int, parts: Sequence[str]) -> str:
    """An SVG element as wide as all others, or as its page where that is narrower."""
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="max-width:100%" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>"
    )


def nothing(title: str) -> str:
    """In place of a plot that has no data."""
    return f"<p>{escape(title)}: nothing to draw.</p>"


def legend(names: Sequence[str]) -> str:
    """What the colours of a page's plots mean."""
    entries = (
        f'<span style="margin-right:1.2em;display:inline-block">'
        f'<b style="color:{colour(number)}">&#9632;</b> {escape(name)}</span>'
        for number, name in enumerate(names)
    )
    return f"<p>{''.join(entries)}</p>"
