"""A run's page: its row, its remarks, and every fact of its summary."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from loadtest.report.rows import HEADINGS, remarks, row

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1c1c }
table { border-collapse: collapse; margin: 1rem 0 } th, td { border: 1px solid #ccc; padding: .3rem .6rem }
th { background: #f3f3f3; text-align: left } td { vertical-align: top } pre { margin: 0; white-space: pre-wrap }
.label { background: #fff3cd; padding: .4rem .8rem }
"""


def page(summary: dict[str, Any]) -> str:
    """A self-contained HTML document."""
    title = f"{summary['benchmark']} {summary['scenario']} {summary['mode']}"
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS)
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row(summary))
    notes = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(summary))
    facts = "".join(f"<tr><th>{escape(key)}</th><td>{_value(value)}</td></tr>" for key, value in summary.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<h1>{escape(title)}</h1><p class="label">{escape(summary["label"])}</p>'
        f"<table><tr>{head}</tr><tr>{cells}</tr></table><ul>{notes}</ul><h2>Facts</h2><table>{facts}</table></html>\n"
    )


def _value(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
    return escape("" if value is None else str(value))
