"""A results table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.tables import Part, Table
from loadtest.report.rows import HEADINGS, remarks, row


def run_table(summaries: Sequence[dict[str, Any]]) -> list[Part]:
    """One line a run, and each run's remarks below."""
    notes = [
        f"{summary['benchmark']} {summary['mode']}: {remark}" for summary in summaries for remark in remarks(summary)
    ]
    return [Table(HEADINGS, [row(summary) for summary in summaries]), *notes]
