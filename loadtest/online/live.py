"""The table of an online test while it runs: drawn anew on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque

from cluster.tables import aligned
from loadtest.online.standing import Standing, percentile

EVERY_S = 1.0
LINE_EVERY_S = 10.0
WINDOW_S = 10.0
HEADINGS = (
    *("seconds", "issued", "in flight", "answered", "failed", "queries/s", "tokens/s"),
    *("TTFT p50", "TTFT p99", "TPOT p99", "E2E p99", "so far"),
)


class LiveTable:
    """`planned`: queries that will be issued at least; 0 where that is not known."""

    def __init__(self, title: str, planned: int = 0) -> None:
        self._title, self._planned = title, planned
        self._drawn_lines = 0
        self._said = 0.0
        self._recent: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])

    def show(self, standing: Standing, seconds: float, last: bool = False) -> None:
        """`seconds`: since the first query was issued."""
        self._recent.append((seconds, standing.answered, standing.tokens))
        while len(self._recent) > 1 and self._recent[0][0] < seconds - WINDOW_S:
            self._recent.popleft()
        if sys.stderr.isatty():
            lines = [self._title + self._left(standing, seconds), *aligned(HEADINGS, [self._row(standing, seconds)])]
            back = f"\x1b[{self._drawn_lines}A\x1b[J" if self._drawn_lines else ""
            print(back + "\n".join(lines), file=sys.stderr, flush=True)
            self._drawn_lines = len(lines)
        elif last or time.monotonic() - self._said >= LINE_EVERY_S:
            self._said = time.monotonic()
            told = zip(HEADINGS, self._row(standing, seconds), strict=True)
            line = ", ".join(f"{heading} {value}" for heading, value in told if value != "-")
            print(f"{self._title}{self._left(standing, seconds)}: {line}", file=sys.stderr, flush=True)

    def _row(self, standing: Standing, seconds: float) -> tuple[str, ...]:
        since, answered, tokens = self._recent[0]
        passed = max(seconds - since, 1e-9)
        return (
            f"{seconds:.0f}",
            str(standing.issued),
            str(standing.in_flight),
            str(standing.answered),
            str(standing.failed),
            f"{(standing.answered - answered) / passed:.1f}",
            f"{(standing.tokens - tokens) / passed:.0f}",
            _time(percentile(standing.ttft_s, 50)),
            _time(percentile(standing.ttft_s)),
            _time(percentile(standing.tpot_s)),
            _time(percentile(standing.e2e_s)),
            "; ".join(standing.broken()) or "within its limits",
        )

    def _left(self, standing: Standing, seconds: float) -> str:
        if not self._planned or standing.issued >= self._planned or not standing.issued:
            return ""
        return f", {(self._planned - standing.issued) * seconds / standing.issued:.0f} s to issue"


def _time(seconds: float) -> str:
    if seconds != seconds:  # NaN
        return "-"
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
