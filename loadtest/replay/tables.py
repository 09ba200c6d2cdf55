"""A replay's summary as tables, for a terminal and for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.tables import Part, Table
from loadtest.report.page import document, facts, notes, table
from loadtest.report.plots import plots
from loadtest.report.text import run_table
from loadtest.report.timeline import Timeline

LATENCY_HEADINGS = (
    "model",
    "pool",
    "requests",
    "failed",
    "TTFT p50/p90/p99 s",
    "TPOT p50/p90/p99 ms",
    "E2E p50/p90/p99 s",
    "tokens/s",
    "goodput/s",
    "in SLO",
    "cached",
)
REPLICA_HEADINGS = ("model", "replica", "answers", "share")
FAILURE_HEADINGS = ("failure", "requests")


def report_parts(summary: dict[str, Any]) -> list[Part]:
    """For a terminal."""
    parts = [*run_table([summary]), "", Table(LATENCY_HEADINGS, latency_rows(summary))]
    if rows := replica_rows(summary):
        parts += ["", Table(REPLICA_HEADINGS, rows)]
    if rows := failure_rows(summary):
        parts += ["", Table(FAILURE_HEADINGS, rows)]
    return parts


def report_page(summary: dict[str, Any], timeline: Timeline | None = None) -> str:
    """A self-contained HTML document."""
    title = f"{summary['benchmark']}: {summary['scenario']} {summary['mode']}"
    latency = "<h2>Latency</h2>" + table(LATENCY_HEADINGS, latency_rows(summary))
    replicas = "<h2>Replicas</h2>" + table(REPLICA_HEADINGS, replica_rows(summary))
    failures = "<h2>Failures</h2>" + table(FAILURE_HEADINGS, failure_rows(summary)) if summary["failures"] else ""
    drawn = plots(timeline) if timeline is not None else ""
    return document(title, summary["label"], notes(summary), latency, replicas, failures, drawn, facts(summary))


def latency_rows(summary: dict[str, Any]) -> list[Sequence[str]]:
    """A row per model and pool."""
    return [
        (
            model,
            pool,
            str(figures["requests"]),
            str(figures["failed"]),
            _spread(figures["ttft_s"], 1, 3),
            _spread(figures["tpot_s"], 1000, 1),
            _spread(figures["e2e_s"], 1, 3),
            f"{figures['output_tokens_per_s']:.1f}",
            f"{figures['goodput_per_s']:.2f}",
            f"{figures['slo_share']:.1%}",
            f"{figures['token_hit_rate']:.1%}",
        )
        for model, pools in summary["by_model"].items()
        for pool, figures in pools.items()
    ]


def replica_rows(summary: dict[str, Any]) -> list[Sequence[str]]:
    """A row per replica, and one per model that says how uneven they are."""
    rows: list[Sequence[str]] = []
    for model, told in summary["replicas"].items():
        total = sum(told["answers"].values())
        rows += [(model, name, str(n), f"{n / total if total else 0:.1%}") for name, n in told["answers"].items()]
        rows.append((model, "largest over mean", f"{told['imbalance']:.2f}", ""))
    return rows


def failure_rows(summary: dict[str, Any]) -> list[Sequence[str]]:
    """Status, or what happened where there was none."""
    return [(what, str(count)) for what, count in sorted(summary["failures"].items())]


def _spread(quantiles: dict[str, float] | None, factor: float, decimals: int) -> str:
    if quantiles is None:
        return "-"
    return " / ".join(f"{quantiles[name] * factor:.{decimals}f}" for name in ("p50", "p90", "p99"))
