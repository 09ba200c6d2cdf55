"""Lines in a log, a bar on a terminal."""

from __future__ import annotations

import io

import pytest

from cluster.checkpoints import progress
from cluster.checkpoints.progress import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_at_each_end() -> None:
    log = io.StringIO()
    with Console(log).transfer("weights", 3_000_000) as advance:
        for done in (1_000_000, 2_000_000, 3_000_000):
            advance(done)
    first, last = log.getvalue().splitlines()
    assert first == "weights: 3.0 MB"
    assert last.startswith("weights: done, ")
    assert last.endswith("MB/s")


def test_a_slow_transfer_reports_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REPORT_EVERY_S", 0)
    log = io.StringIO()
    with Console(log).transfer("weights", 4_000_000) as advance:
        advance(2_000_000)
    assert "weights: 2.0 of 4.0 MB" in log.getvalue()


def test_a_terminal_gets_a_bar_with_rate_and_time_left() -> None:
    terminal = Terminal()
    with Console(terminal).transfer("weights", 4_000_000) as advance:
        advance(1_000_000)
        advance(4_000_000)
    assert "weights" in terminal.getvalue()
    assert "4.00M/4.00M" in terminal.getvalue()
    assert "B/s" in terminal.getvalue()
