from __future__ import annotations

import pytest

from cluster.progress import Progress


def test_a_line_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("replay", "requests") as progress:
        progress.update(10, 2, 4.0, "3 in flight")
        progress.update(10, 3, 4.1, "2 in flight")
        progress.update(10, 10, 20.0)
    assert capsys.readouterr().err.splitlines() == [
        "replay: 2 of 10 requests, 0.5 a second, 16 s left, 3 in flight",
        "replay: 10 of 10 requests, 0.5 a second",
    ]
