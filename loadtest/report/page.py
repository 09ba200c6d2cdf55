"""A run's page: its row, its remarks, and every fact of its summary; and the parts that pages are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from loadtest.report.plots import plots
from loadtest.report.rows import HEADINGS, remarks, row
from loadtest.report.timeline import Timeline

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1c1c }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border: 1px solid #ccc; padding: .3rem .6rem }
th { background: #f3f3f3; text-align: left } td { vertical-align: top } pre { margin: 0; white-space: pre-wrap }
.label { background: #fff3cd; padding: .4rem .8rem }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
.plots svg { border: 1px solid #8886 } .plots p { flex-basis: 100%; margin: 0 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #e6e6e6 } th { background: #2a2a2a }
  .label { background: #4d3f10 } th, td { border-color: #555 } }
"""


def page(summary: dict[str, Any], timeline: Timeline | None = None) -> str:
    """A self-contained HTML document; with plots where there is something to plot."""
    title = f"{summary['benchmark']} {summary['scenario']} {summary['mode']}"
    drawn = plots(timeline, summary.get("limits")) if timeline is not None else ""
    row_table = table(HEADINGS, [row(summary)])
    return document(title, summary["label"], row_table, notes(summary), drawn, facts(summary))


def document(title: str, label: str, *parts: str) -> str:
    """A self-contained HTML document of these parts, which are HTML already."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f'<h1>{escape(title)}</h1><p class="label">{escape(label)}</p>{"".join(parts)}</html>\n'
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def notes(summary: dict[str, Any]) -> str:
    """A list of a summary's remarks."""
    return f"<ul>{''.join(f'<li>{escape(remark)}</li>' for remark in remarks(summary))}</ul>"


def facts(summary: dict[str, Any]) -> str:
    """Everything in a summary."""
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{_value(value)}</td></tr>" for key, value in summary.items())
    return f"<h2>Facts</h2><table>{rows}</table>"


def _value(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
    return escape("" if value is None else str(value))
