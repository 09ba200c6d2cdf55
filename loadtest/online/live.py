"""The table of an online test while it runs: drawn anew on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.tables import Table, drawn
from loadtest.online.standing import Standing, percentile

if TYPE_CHECKING:
    from rich.live import Live

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
        self._live: Live | None = None
        self._printed = 0.0
        self._recent: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])

    def show(self, standing: Standing, seconds: float, last: bool = False) -> None:
        """`seconds`: since the first query was issued. The `last` table stays on the terminal."""
        self._recent.append((seconds, standing.answered, standing.tokens))
        while len(self._recent) > 1 and self._recent[0][0] < seconds - WINDOW_S:
            self._recent.popleft()
        title, row = self._title + self._left(standing, seconds), self._row(standing, seconds)
        if sys.stderr.isatty():
            self._draw(title, row)
        elif last or time.monotonic() - self._printed >= LINE_EVERY_S:
            self._printed = time.monotonic()
            cells = zip(HEADINGS, row, strict=True)
            line = ", ".join(f"{heading} {value}" for heading, value in cells if value != "-")
            print(f"{title}: {line}", file=sys.stderr, flush=True)
        if last and self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, title: str, row: Sequence[str]) -> None:
        from rich.console import Console, Group
        from rich.live import Live

        if self._live is None:
            # Else what is printed meanwhile would go to standard error, even where standard output is a file.
            redirect = sys.stdout.isatty()
            self._live = Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=redirect)
            self._live.start()
        parts = drawn([title, Table(HEADINGS, [row])], self._live.console)
        self._live.update(Group(*parts), refresh=True)

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
