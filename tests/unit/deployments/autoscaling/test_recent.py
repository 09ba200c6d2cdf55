from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from deployments.autoscaling.recent import REMEMBERED_S, RecentMax, RecentMean, RecentRate, SummedRate

STEPS = st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 100)), min_size=1, max_size=40)


@given(STEPS, st.floats(0.5, 30))
def test_the_maximum_is_that_of_all_values_in_the_window(steps: list[tuple[float, float]], window_s: float) -> None:
    recent, now = RecentMax(window_s), 0.0
    taken: list[tuple[float, float]] = []
    for gap, value in steps:
        now += gap
        taken.append((now, value))
        assert recent.take(now, value) == max(v for at, v in taken if at >= now - window_s)


@given(STEPS, st.floats(0.5, 30))
def test_the_mean_is_the_integral_over_the_window(steps: list[tuple[float, float]], window_s: float) -> None:
    recent, now = RecentMean(window_s), 0.0
    taken: list[tuple[float, float]] = []
    for gap, value in steps:
        now += gap
        taken.append((now, value))
        mean = recent.take(now, value)
        ends = [at for at, _ in taken[1:]]
        parts = [(max(at, now - window_s), end, v) for (at, v), end in zip(taken, ends, strict=False)]
        parts = [(start, end, v) for start, end, v in parts if end > start]
        span = sum(end - start for start, end, _ in parts)
        expected = sum((end - start) * v for start, end, v in parts) / span if span else value
        assert math.isclose(mean, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_the_rate_is_the_growth_over_the_window() -> None:
    rate = RecentRate(10.0)
    assert rate.take(0.0, 100.0) == 0.0
    assert rate.take(5.0, 120.0) == 2.0, "of the whole window: before it there was nothing"
    assert rate.take(10.0, 130.0) == 3.0
    assert rate.take(20.0, 130.0) == 0.0
    assert rate.take(21.0, 7.0) == 7.0 / 11.0, "it has begun anew, from zero"
    assert rate.take(31.0, 17.0) == 1.0


def test_a_source_that_is_missing_for_one_call_and_comes_back_adds_no_growth() -> None:
    rate, totals = SummedRate(10.0), {"a": 5000.0, "b": 5000.0}
    rates = [rate.take(float(second), {"a": 5000.0} if second == 20 else totals) for second in range(40)]
    assert rates == [0.0] * 40


def test_rates_of_sources_are_summed_and_those_that_begin_anew_count_from_zero() -> None:
    rate = SummedRate(10.0)
    for second in range(21):
        grown = rate.take(float(second), {"a": 100.0 + 2 * second, "b": 3.0 * second})
    assert grown == 5.0
    for second in range(21, 31):
        grown = rate.take(float(second), {"a": 100.0 + 2 * second, "b": 3.0 * (second - 20)})
    assert grown == 5.0, "b was restarted"
    assert rate.take(31.0, {"a": 162.0, "b": 33.0, "new": 900.0}) == 5.0, "what it had counted before is not growth"


def test_a_source_that_was_away_for_long_has_the_rate_of_all_that_time() -> None:
    rate = SummedRate(10.0)
    assert [rate.take(at, {"a": at}) for at in (0.0, 10.0, 20.0, 80.0)] == [0.0, 1.0, 1.0, 1.0]
    assert rate.take(81.0 + REMEMBERED_S, {}) == 0.0
    assert rate.take(82.0 + REMEMBERED_S, {"a": 1000.0}) == 0.0, "it is forgotten"


EVENTS = st.lists(
    st.tuples(
        st.floats(0.01, 10),
        st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.booleans()), min_size=3, max_size=3),
    ),
    min_size=1,
    max_size=40,
)
"""Seconds between two calls; for each source its growth since the last one, and whether it restarts and is heard."""


@given(EVENTS, st.floats(0.5, 30))
def test_the_rate_is_never_negative_and_never_above_the_true_increase(
    events: list[tuple[float, list[tuple[float, bool, bool]]]], window_s: float
) -> None:
    rate, now = SummedRate(window_s), 0.0
    counters, grown = [5000.0] * 3, [0.0] * 3
    heard: list[list[tuple[float, float]]] = [[], [], []]
    """Of each source: when it was heard, and how much it had truly grown by then."""
    for gap, sources in events:
        now += gap
        totals = {}
        for source, (growth, restarts, there) in enumerate(sources):
            counters[source] = growth if restarts else counters[source] + growth
            grown[source] += growth
            if there:
                heard[source].append((now, grown[source]))
                totals[str(source)] = counters[source]
        most = 0.0
        for source in map(int, totals):
            before = [sample for sample in heard[source] if sample[0] <= now - window_s] or heard[source][:1]
            most += (grown[source] - before[-1][1]) / window_s
        assert 0.0 <= rate.take(now, totals) <= most * (1 + 1e-9) + 1e-9
