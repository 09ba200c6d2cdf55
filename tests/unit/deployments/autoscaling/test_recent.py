from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from deployments.autoscaling.recent import RecentMax, RecentMean, RecentRate

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
    assert rate.take(21.0, 7.0) == 0.0, "it has begun anew"
    assert rate.take(31.0, 17.0) == 1.0
