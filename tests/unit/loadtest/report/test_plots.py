from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.benchmarks.base import Answer
from loadtest.client import Outcome
from loadtest.plots import bar_plot
from loadtest.report.plots import latency_curve, plots
from loadtest.report.timeline import Timeline, read_timeline
from loadtest.results import write_samples


def outcomes(count: int, first: float = 0.5) -> list[Outcome]:
    return [
        Outcome(
            n, n, 100.0 + n, 102.0 + n, 1, Answer(b"", 11, ""), pool="ab"[n % 2], due=100.0 + n, first=100.0 + n + first
        )
        for n in range(count)
    ]


def test_times_are_read_back_from_the_first_query_on(tmp_path: Path) -> None:
    write_samples(tmp_path, [*outcomes(3), Outcome(3, 3, 103.0, 110.0, 1, None, "timeout", due=103.0)], "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    assert list(timeline.due) == [0, 1, 2, 3]
    assert list(timeline.e2e_s[:3]) == [2, 2, 2]
    assert list(timeline.ttft_s[:3]) == [0.5, 0.5, 0.5]
    assert timeline.tpot_s[0] == pytest.approx(0.15)
    assert math.isnan(timeline.e2e_s[3]), "a failure has no latency"
    assert timeline.seconds == 10
    assert read_timeline(tmp_path / "nowhere") is None


def test_a_page_has_its_plots_limits_and_shares(tmp_path: Path) -> None:
    write_samples(tmp_path, outcomes(50), "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    drawn = plots(timeline, {"ttft_s": 0.4, "tpot_s": None, "e2e_s": None})
    for title in ("TTFT, s", "TPOT, s", "E2E, s", "answers/s", "tokens/s", "in flight", "answers by pool"):
        assert f"<title>{title}" in drawn
    assert "limit of p99, 0.4 s" in drawn
    assert "answers by replica" not in drawn, "nobody said which replica answered"
    assert "NaN" not in drawn
    assert "nan" not in drawn


def test_runs_of_earlier_versions_have_the_plots_that_they_have_data_for() -> None:
    table = pa.table({"started": [1.0, 2.0], "finished": [3.0, 5.0], "tokens": [4, 4], "error": [None, "x"]})
    drawn = plots(Timeline.of_samples(table))
    assert "<title>E2E" in drawn
    assert "<title>TTFT" not in drawn


def test_a_page_of_a_long_run_stays_small(tmp_path: Path) -> None:
    count = 50_000
    rng = np.random.default_rng(0)
    due = np.cumsum(rng.exponential(0.01, count))
    table = pa.table(
        {
            **{"due_s": due, "sent_s": due, "first_token_s": due + 0.1, "end_s": due + rng.exponential(1, count)},
            "output_tokens": np.full(count, 9),
            "failure": pa.nulls(count, pa.string()),
            "replica": [f"m@pool#{n % 300}" for n in range(count)],
        }
    )
    pq.write_table(table, tmp_path / "requests.parquet")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    drawn = plots(timeline)
    assert len(drawn) < 100_000
    assert "the first 24 of 300" in drawn


def test_what_is_in_flight_is_what_began_and_did_not_end(tmp_path: Path) -> None:
    write_samples(tmp_path, outcomes(10), "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    (line,) = re.findall(r"<title>due and not answered</title><polyline points=\"([^\"]+)\"", plots(timeline))
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights[-1] == max(heights), "all have ended, and down is up in SVG"


def test_an_empty_run_has_no_plots(tmp_path: Path) -> None:
    write_samples(tmp_path, [], "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    assert plots(timeline) == ""
    assert latency_curve(np.array([np.nan])) == []
    assert "nothing to draw" in bar_plot("t", "", {})


def test_names_are_escaped_and_long_ones_keep_their_end() -> None:
    drawn = bar_plot("a<b", "tokens/s", {"x" * 40 + "<end": 3.0})
    assert "a&lt;b" in drawn
    assert "&lt;end" in drawn
    assert "<end" not in drawn
    assert "3 tokens/s" in drawn
