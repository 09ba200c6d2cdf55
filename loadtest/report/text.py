"""A results table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtest.report.rows import HEADINGS, remarks, row


def text_table(summaries: Sequence[dict[str, Any]]) -> str:
    """Aligned columns, one line a run, and each run's remarks below."""
    drawn = aligned(HEADINGS, [row(summary) for summary in summaries])
    notes = [
        f"{summary['benchmark']} {summary['mode']}: {remark}" for summary in summaries for remark in remarks(summary)
    ]
    return "\n".join([*drawn, *notes])


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, headings and a rule first; every row has as many cells as there are headings."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [drawn[0], "  ".join("-" * width for width in widths), *drawn[1:]]
