from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import Answer
from loadtest.client import Outcome
from loadtest.plots.svg import colour
from loadtest.report.plots import _between, latency_curve, latency_plot, plots, rates
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
    for title in ("TTFT, s", "TPOT, s", "E2E, s", "answers/s", "tokens/s", "requests at each stage", "answers by pool"):
        assert f"<title>{title}" in drawn
    assert "limit of p99: 0.4 s" in drawn
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


times = st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=1, max_size=30)


@given(times)
def test_what_is_open_is_what_began_and_did_not_end(spans: list[tuple[float, float]]) -> None:
    begin, end = np.array([(min(span), max(span)) for span in spans]).T
    edges = np.linspace(0, 100, 11)
    counted = [sum(b <= edge and not e <= edge for b, e in zip(begin, end, strict=True)) for edge in edges]
    assert _between(begin, end, edges).tolist() == counted


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(0, 500)), min_size=1, max_size=40), st.integers(5, 100))
def test_no_token_is_lost_between_bins(ends: list[tuple[float, int]], bins: int) -> None:
    at, tokens = np.array(ends).T
    drawn = rates(at, tokens, 60.0, bins)
    assert len(drawn) == bins
    assert sum(rate for _, rate in drawn) * 60 / bins == pytest.approx(tokens.sum())


@pytest.mark.parametrize(("count", "bins"), [(5, 5), (128, 16), (2_000, 100)])
def test_short_runs_have_fewer_bins(count: int, bins: int, tmp_path: Path) -> None:
    write_samples(tmp_path, outcomes(count), "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    drawn = plots(timeline)
    (line,) = re.findall(
        r"<title>all requests</title><polyline points=\"([^\"]+)\"", drawn[drawn.index("<title>answers/s") :]
    )[:1]
    assert len(line.split()) == bins


def test_the_stages_of_answers(tmp_path: Path) -> None:
    write_samples(tmp_path, outcomes(10), "official")
    streamed = read_timeline(tmp_path)
    assert streamed is not None
    for stage in ("due, not sent", "sent, no token yet", "being answered"):
        assert f"<title>{stage}</title>" in plots(streamed)
    whole = plots(replace(streamed, first=np.full(10, np.nan)))
    assert "<title>sent, not answered</title>" in whole
    assert "no token yet" not in whole


@given(st.lists(st.floats(0, 1e4) | st.just(math.nan), max_size=50))
def test_a_latency_curve_rises_to_the_slowest(seconds: list[float]) -> None:
    known = sorted(value for value in seconds if not math.isnan(value))
    curve = latency_curve(np.array(seconds, dtype=np.float64))
    values = [value for _, value in curve]
    assert bool(curve) == bool(known)
    assert all(after >= before - 1e-9 for before, after in pairwise(values))
    assert not known or (values[0] == known[0] and values[-1] <= known[-1] + 1e-9)


def test_percentiles_stand_where_the_axis_says() -> None:
    curve = latency_curve(np.arange(1001.0))
    drawn = latency_plot("e2e_s", {"all": curve}, {})
    assert all(f">{percentile}</text>" in drawn for percentile in ("0", "50", "90", "99", "99.9"))
    assert "99.99" not in drawn, "a thousand samples tell nothing of it"
    places, values = np.array(curve).T
    assert np.interp(2.0, places, values) == pytest.approx(990, abs=1)


def test_lines_and_bars_of_a_pool_have_one_colour(tmp_path: Path) -> None:
    write_samples(tmp_path, outcomes(10), "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    drawn = plots(timeline)
    shares = drawn[drawn.index("<title>answers by pool") :]
    assert re.findall(r'height="14" fill="([^"]+)"', shares) == [colour(1), colour(2)]
    assert drawn.count(f'stroke="{colour(1)}"') >= len(("TTFT", "TPOT", "E2E", "answers/s", "tokens/s"))
    assert "5 (50.0%)" in shares


def test_an_empty_run_has_no_plots(tmp_path: Path) -> None:
    write_samples(tmp_path, [], "official")
    timeline = read_timeline(tmp_path)
    assert timeline is not None
    assert plots(timeline) == ""
    assert latency_curve(np.array([np.nan])) == []


def test_a_run_in_which_all_failed_has_its_stages() -> None:
    table = pa.table({"started": [1.0, 2.0], "finished": [3.0, 5.0], "tokens": [0, 0], "error": ["x", "x"]})
    drawn = plots(Timeline.of_samples(table))
    assert "<title>requests at each stage" in drawn
    assert "<title>E2E" not in drawn


def test_unknown_times_draw_nothing() -> None:
    unknown = pa.array([None, None], pa.float64())
    table = pa.table({"started": unknown, "finished": unknown, "tokens": [1, 1], "error": [None, None]})
    assert plots(Timeline.of_samples(table)) == ""
