from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet import Limits
from deployments.gateway.admission.limits import Bucket, Charge, OverLimit, Quota, Unit


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(quota: Quota, unit: Unit, amount: float = 1) -> OverLimit:
    with pytest.raises(OverLimit) as raised:
        quota.charge(unit, amount)
    assert (raised.value.status, raised.value.code, raised.value.unit) == (429, "rate_limit_exceeded", unit)
    return raised.value


def test_no_limit_refuses_nothing_and_tells_nothing() -> None:
    for quota in (Quota(None), Quota(Limits())):
        charges = [quota.charge(unit, 1e12) for unit in Unit for _ in range(100)]
        assert not any(charge.open for charge in charges)
        charges[0].settle(5)
        assert quota.headers() == {}


def test_requests_come_back_one_by_one() -> None:
    quota = Quota(Limits(requests_per_minute=6), clock=(clock := Clock()))
    for _ in range(6):
        quota.charge(Unit.REQUESTS)
    refusal = refused(quota, Unit.REQUESTS)
    assert refusal.retry_after_s == pytest.approx(10)
    assert refusal.message == "you have used your 6 requests a minute; try again in 10.000 s"
    headers = refusal.response().headers
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("10", "10000")
    clock.now += 9.99
    refused(quota, Unit.REQUESTS)
    clock.now += 0.01
    quota.charge(Unit.REQUESTS)
    refused(quota, Unit.REQUESTS)


def test_retry_after_is_rounded_up() -> None:
    quota = Quota(Limits(requests_per_minute=7), clock=(clock := Clock()))
    for _ in range(7):
        quota.charge(Unit.REQUESTS)
    headers = refused(quota, Unit.REQUESTS).response().headers
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("9", "8572")
    clock.now += 8.572
    quota.charge(Unit.REQUESTS)


def test_limits_are_counted_apart() -> None:
    quota = Quota(Limits(tokens_per_minute=10, audio_seconds_per_minute=10), clock=Clock())
    quota.charge(Unit.TOKENS, 10)
    refused(quota, Unit.TOKENS)
    quota.charge(Unit.AUDIO, 10)
    assert "10 seconds of audio a minute" in refused(quota, Unit.AUDIO).message
    quota.charge(Unit.REQUESTS)


def test_a_request_that_never_fits_is_not_told_to_wait() -> None:
    quota = Quota(Limits(tokens_per_minute=100), clock=Clock())
    refusal = refused(quota, Unit.TOKENS, 101)
    assert "counts for 101 tokens, and you may use 100 a minute; send a smaller one" in refusal.message
    headers = refusal.response().headers
    assert headers["x-should-retry"] == "false"
    assert not {"Retry-After", "retry-after-ms"} & set(headers)
    quota.charge(Unit.TOKENS, 100)


def test_headers_are_as_openai_writes_them() -> None:
    limits = Limits(requests_per_minute=60, tokens_per_minute=150_000_000, audio_seconds_per_minute=90.5)
    quota = Quota(limits, clock=Clock())
    quota.charge(Unit.REQUESTS)
    quota.charge(Unit.TOKENS, 50_000)
    assert quota.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000000",
        "x-ratelimit-remaining-tokens": "149950000",
        "x-ratelimit-reset-tokens": "20ms",
        "x-ratelimit-limit-audio-seconds": "90.5",
        "x-ratelimit-remaining-audio-seconds": "90",
        "x-ratelimit-reset-audio-seconds": "0ms",
    }


def test_a_debt_takes_longer_than_a_minute_to_pay_off() -> None:
    quota = Quota(Limits(tokens_per_minute=60), clock=(clock := Clock()))
    quota.charge(Unit.TOKENS, 1).settle(361)
    headers = quota.headers()
    assert (headers["x-ratelimit-remaining-tokens"], headers["x-ratelimit-reset-tokens"]) == ("0", "6m1s")
    assert refused(quota, Unit.TOKENS, 1).retry_after_s == pytest.approx(302)
    clock.now += 302
    quota.charge(Unit.TOKENS, 1)


def test_settling_gives_back_what_was_not_used_once() -> None:
    quota = Quota(Limits(tokens_per_minute=100), clock=Clock())
    charge = quota.charge(Unit.TOKENS, 100)
    assert charge.open
    charge.settle(30)
    assert not charge.open
    charge.settle(0)
    refused(quota, Unit.TOKENS, 71)
    quota.charge(Unit.TOKENS, 70)


def tell(quotas: list[Quota]) -> None:
    """Each process what the others have taken."""
    for number, use in enumerate([quota.use() for quota in quotas]):
        for quota in quotas:
            if quota is not quotas[number]:
                quota.set_elsewhere(f"process {number}", use)


def test_what_one_process_gives_out_the_others_lack() -> None:
    clock = Clock()
    quotas = [Quota(Limits(requests_per_minute=2, tokens_per_minute=100), clock) for _ in range(4)]
    quotas[0].charge(Unit.REQUESTS)
    charge = quotas[0].charge(Unit.TOKENS, 90)
    tell(quotas)
    quotas[1].charge(Unit.REQUESTS)
    tell(quotas)
    for quota in quotas:
        assert refused(quota, Unit.REQUESTS).retry_after_s == pytest.approx(30)
        assert refused(quota, Unit.TOKENS, 25).retry_after_s == pytest.approx(15 / 100 * 60)
    charge.settle(40)
    tell(quotas)
    for quota in quotas:
        assert quota.headers()["x-ratelimit-remaining-tokens"] == "60"


def test_a_process_that_starts_finds_the_buckets_as_the_others_have_them() -> None:
    quotas = [Quota(Limits(tokens_per_minute=100, concurrent_requests=3), clock := Clock()) for _ in range(2)]
    quotas[0].charge(Unit.TOKENS, 80)
    quotas[1].charge(Unit.TOKENS, 10)
    quotas[0].concurrency.enter(3)
    tell(quotas)
    tell(quotas)
    newcomer = Quota(Limits(tokens_per_minute=100, concurrent_requests=3), clock)
    tell([*quotas, newcomer])
    assert newcomer.headers()["x-ratelimit-remaining-tokens"] == "10"
    assert not newcomer.concurrency.has_room()
    newcomer.set_elsewhere("process 0", None)
    assert newcomer.concurrency.has_room(), "a process that is gone has nothing at engines"


def test_processes_that_meet_late_count_what_both_have_taken() -> None:
    clock = Clock()
    quotas = [Quota(Limits(tokens_per_minute=100), clock) for _ in range(2)]
    quotas[0].charge(Unit.TOKENS, 30)
    quotas[1].charge(Unit.TOKENS, 20)
    tell(quotas)
    assert [quota.headers()["x-ratelimit-remaining-tokens"] for quota in quotas] == ["50", "50"]
    clock.now += 600
    for _ in range(10):
        quotas[0].charge(Unit.TOKENS, 90)
        tell(quotas)
        clock.now += 60
    newcomer = Quota(Limits(tokens_per_minute=100), clock)
    newcomer.charge(Unit.TOKENS, 40)
    tell([*quotas, newcomer])
    for quota in (*quotas, newcomer):
        assert quota.headers()["x-ratelimit-remaining-tokens"] == "60", "what was taken long ago has come back"


def test_what_a_process_of_other_limits_tells_is_refused_and_changes_nothing() -> None:
    one, other = Quota(Limits(tokens_per_minute=100)), Quota(Limits(tokens_per_minute=100, requests_per_minute=1))
    other.charge(Unit.TOKENS, 50)
    with pytest.raises(ValueError, match="2 limits, and it has 1 here"):
        one.set_elsewhere("other", other.use())
    assert one.headers()["x-ratelimit-remaining-tokens"] == "100"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.001, 0.05), st.floats(0, 3)), min_size=1, max_size=400),
    st.integers(1, 8),
)
def test_processes_together_give_out_what_one_would(asked: list[tuple[int, float, float]], told_every: int) -> None:
    """`asked`: which process, for what part of the limit, and how many seconds after the request before."""
    limit, clock = 1000.0, Clock()
    quotas = [Quota(Limits(tokens_per_minute=limit), clock) for _ in range(4)]
    given, most_between = 0.0, 0.0
    between = 0.0
    for number, (process, part, after_s) in enumerate(asked):
        clock.now += after_s
        if number % told_every == 0:
            tell(quotas)
            most_between, between = max(most_between, between), 0.0
        try:
            quotas[process].charge(Unit.TOKENS, part * limit)
        except OverLimit:
            continue
        given += part * limit
        between += part * limit
    passed_s = clock.now - 1000.0
    # Beyond one minute's bucket and what time adds: at most what several took before they heard of each other.
    assert given <= limit * (1 + passed_s / 60) + 2 * max(most_between, between) + 1e-6


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = Bucket(60, clock=(clock := Clock()))
    bucket.take(60)
    clock.now += 10
    assert bucket.level == pytest.approx(10)
    clock.now -= 5
    assert bucket.level == pytest.approx(10)
    clock.now += 5
    assert bucket.level == pytest.approx(10)


LIMITS = st.floats(0.1, 1e6)
STEPS = st.lists(
    # seconds that pass, the estimate and the real use (parts of the limit), and after how many steps it is settled
    st.tuples(st.floats(0, 90), st.floats(0.001, 1), st.floats(0, 1), st.integers(0, 4)),
    max_size=60,
)


@given(LIMITS, STEPS)
def test_no_minute_sees_more_than_the_limit_and_a_full_bucket(
    limit: float, steps: list[tuple[float, float, float, int]]
) -> None:
    bucket = Bucket(limit, clock=(clock := Clock()))
    flow: list[tuple[float, float]] = []  # what went out, or came back, when
    due: list[tuple[int, Charge, float, float]] = []
    for number, (passes, estimate, used, later) in enumerate(steps):
        clock.now += passes
        before = bucket.level
        assert before <= bucket.limit
        for _, charge, estimated, real in [one for one in due if one[0] <= number]:
            charge.settle(real)
            charge.settle(0)
            flow.append((clock.now, real - estimated))
        due = [one for one in due if one[0] > number]
        amount = estimate * limit
        wait = bucket.wait_s(amount)
        assert 0 <= wait < math.inf
        if not wait:
            bucket.take(amount)
            flow.append((clock.now, amount))
            due.append((number + later, Charge(bucket, amount), amount, amount * used))
    for at, (first, _) in enumerate(flow):
        window = [amount for when, amount in flow[at:] if when <= first + 60]
        assert max(itertools.accumulate(window)) <= 2 * limit * (1 + 1e-6)


@given(LIMITS, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 3)), max_size=20))
def test_settled_charges_cost_what_was_used(limit: float, uses: list[tuple[float, float]]) -> None:
    bucket = Bucket(limit, clock=Clock())
    charges = []
    spent = 0.0
    for estimate, used in uses:
        amount = estimate * limit
        if not bucket.wait_s(amount):
            bucket.take(amount)
            charges.append((Charge(bucket, amount), used * amount))
            spent += used * amount
    for charge, used in charges:
        charge.settle(used)
        charge.settle(used)
    assert bucket.level == pytest.approx(limit - spent, abs=1e-6 * limit)


@given(LIMITS, st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1e8))
def test_one_who_waits_as_long_as_told_gets_in(limit: float, amounts: list[float], start: float) -> None:
    bucket = Bucket(limit, clock=(clock := Clock(start)))
    for part in amounts:
        clock.now += bucket.wait_s(part * limit)
        assert bucket.wait_s(part * limit) == 0
        bucket.take(part * limit)


@given(LIMITS, st.lists(st.tuples(st.floats(0, 100), st.floats(-2, 2)), max_size=30))
def test_time_only_ever_fills_and_never_over(limit: float, steps: list[tuple[float, float]]) -> None:
    bucket = Bucket(limit, clock=(clock := Clock()))
    for passes, amount in steps:
        bucket.take(amount * limit)
        before = bucket.level
        clock.now += passes
        assert before <= bucket.level <= limit
        assert bucket.level == pytest.approx(min(limit, before + limit * passes / 60), abs=1e-6 * limit)
        assert bucket.full_in_s >= 0


def test_concurrency_counts_sequences_and_calls_back_once_there_is_room() -> None:
    concurrency = Quota(Limits(concurrent_requests=4)).concurrency
    concurrency.set_elsewhere("another process", 2)
    calls: list[str] = []
    concurrency.enter(1)
    assert concurrency.has_room()
    concurrency.enter(16)
    for _ in range(3):
        concurrency.when_room(look_again := lambda: calls.append("again"))
    concurrency.leave(1)
    assert not calls
    concurrency.leave(16)
    assert len(calls) == 3
    concurrency.enter(2)
    concurrency.leave(2)
    assert len(calls) == 3, "each once"
    assert look_again is not None
    assert Quota(None).concurrency.has_room()
