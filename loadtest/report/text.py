"""A results table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.tables import aligned
from loadtest.report.rows import HEADINGS, remarks, row


def text_table(summaries: Sequence[dict[str, Any]]) -> str:
    """Aligned columns, one line a run, and each run's remarks below."""
    drawn = aligned(HEADINGS, [row(summary) for summary in summaries])
    notes = [
        f"{summary['benchmark']} {summary['mode']}: {remark}" for summary in summaries for remark in remarks(summary)
    ]
    return "\n".join([*drawn, *notes])
