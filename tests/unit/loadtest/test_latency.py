from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.latency import Quantiles, Slo, Timing, imbalance, latencies


def timing(at: float = 0.0, ttft: float = 1.0, tpot: float = 0.05, tokens: int = 11, **more: object) -> Timing:
    fields = {"input_tokens": 100, **more}
    return Timing(at, at + ttft, at + ttft + tpot * (tokens - 1), output_tokens=tokens, **fields)  # type: ignore[arg-type]


FAILED = Timing(0.0, math.nan, 0.5, 100, 0, ok=False)


def test_what_times_say() -> None:
    one = timing(at=3.0)
    assert (one.ttft_s, one.tpot_s, one.e2e_s) == pytest.approx((1.0, 0.05, 1.5))
    assert math.isnan(timing(tokens=1).tpot_s)


@pytest.mark.parametrize(
    ("case", "met"),
    [
        (timing(ttft=2.0), True),
        (timing(ttft=2.01), False),
        (timing(tpot=0.079), True),
        (timing(tpot=0.081), False),
        (timing(tokens=1), True),
        (FAILED, False),
    ],
)
def test_the_promise(case: Timing, met: bool) -> None:
    assert Slo().is_met(case) is met


def test_a_long_prompt_may_take_three_times_its_prefill() -> None:
    slow = timing(ttft=5.9)
    assert Slo().is_met(slow, prefill_s=2.0)
    assert not Slo().is_met(slow, prefill_s=1.9)


def test_figures_of_a_run() -> None:
    made = latencies([timing(at=0.0), timing(at=1.0, ttft=3.0, cached_tokens=50), FAILED], Slo())
    assert (made.requests, made.failed, made.seconds) == (3, 1, 4.5)
    assert made.goodput_per_s == pytest.approx(1 / 4.5)
    assert made.slo_share == pytest.approx(1 / 3)
    assert made.output_tokens_per_s == pytest.approx(22 / 4.5)
    assert made.token_hit_rate == 0.25
    assert made.ttft_s is not None
    assert (made.ttft_s.mean, made.ttft_s.p50) == (2.0, 2.0)
    assert made.as_dict()["ttft_s"]["p90"] == pytest.approx(2.8)


def test_the_prefill_time_is_that_of_the_whole_prompt() -> None:
    slow = [timing(ttft=5.9, input_tokens=2000, cached_tokens=2000)]
    assert latencies(slow, Slo(), lambda tokens: tokens / 1000).slo_share == 1.0
    assert latencies(slow, Slo(), lambda tokens: tokens / 1100).slo_share == 0.0


def test_nothing_answered_is_no_figure() -> None:
    assert latencies([], Slo()).ttft_s is None
    made = latencies([FAILED], Slo())
    assert (made.ttft_s, made.goodput_per_s, made.failed) == (None, 0.0, 1)


def test_imbalance() -> None:
    assert imbalance([2, 2, 2]) == 1.0
    assert imbalance([3, 0, 0]) == 3.0
    assert imbalance([0, 0]) == 1.0


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_ordered_and_within(values: list[float]) -> None:
    made = Quantiles.of([*values, math.nan])
    assert made is not None
    assert min(values) <= made.p50 <= made.p90 <= made.p99 <= max(values)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10), st.integers(1, 50), st.booleans()), min_size=1))
def test_goodput_never_exceeds_what_was_answered(rows: list[tuple[float, float, int, bool]]) -> None:
    made = latencies([timing(at, ttft, tokens=tokens, ok=ok) for at, ttft, tokens, ok in rows], Slo())
    assert 0 <= made.goodput_per_s <= made.requests_per_s
    assert made.failed + round(made.requests_per_s * made.seconds) == made.requests or made.seconds == 0
    assert 0 <= made.slo_share <= 1
