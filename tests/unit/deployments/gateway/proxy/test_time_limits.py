from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.fleet import AnswerTimeLimits, Gateway, RouteTimeLimits, TimeLimits
from deployments.gateway.proxy.time_limits import AnswerTimedOut, AnswerTimer, Limit, Seconds, seconds_for
from tests.support.virtual_time import run

LIMITS = Seconds(first_byte=60, between_bytes=30, whole=300)


def ended_by(
    silences: list[float], limits: Seconds = LIMITS, is_frozen: Callable[[], Awaitable[bool]] | None = None
) -> tuple[Limit | None, float]:
    """The limit that ends an answer whose pieces come after these silences, and when, in virtual seconds."""

    async def answer() -> tuple[Limit | None, float]:
        timer = AnswerTimer(limits, is_frozen)
        try:
            async with timer.watch():
                for silence in silences:
                    timer.wait()
                    await asyncio.sleep(silence)
                    timer.received()
        except AnswerTimedOut as late:
            return late.limit, asyncio.get_running_loop().time()
        return None, asyncio.get_running_loop().time()

    return run(answer())


@pytest.mark.parametrize(
    ("silences", "limit", "at"),
    [
        ([59, 29, 29], None, 117),
        ([61], Limit.FIRST_BYTE, 60),
        ([1, 31], Limit.BETWEEN_BYTES, 31),
        ([1, *[20] * 20], Limit.WHOLE, 300),
        ([59, 29, 29, 29, 29, 29, 29, 29, 29, 9], None, 300),
    ],
)
def test_each_limit_ends_an_answer_at_its_time_and_no_other_does(
    silences: list[float], limit: Limit | None, at: float
) -> None:
    ended, when = ended_by(silences)
    assert ended is limit
    assert when == pytest.approx(at, abs=0.1)


def test_a_frozen_engine_is_given_up_long_before_the_limits_of_a_long_answer() -> None:
    async def frozen() -> bool:
        await asyncio.sleep(5)
        return True

    limit, when = ended_by([599], Seconds(600, 60, 600), frozen)
    assert limit is Limit.FROZEN
    assert when < 30, "Serve ends a frozen engine after 85 s"
    limit, when = ended_by([1, 59], Seconds(600, 60, 600), frozen)
    assert limit is Limit.FROZEN


def test_an_engine_that_answers_its_health_check_may_be_silent_up_to_the_limits() -> None:
    checks = 0

    async def alive() -> bool:
        nonlocal checks
        checks += 1
        return False

    assert ended_by([599], Seconds(600, 60, 600), alive) == (None, 599)
    assert 20 <= checks <= 120


def test_one_health_check_that_is_not_answered_is_no_proof() -> None:
    results = iter([True, False, True, False, *[False] * 100])

    async def sometimes() -> bool:
        return next(results)

    assert ended_by([100], Seconds(600, 60, 600), sometimes)[0] is None


def test_time_in_which_the_client_does_not_read_is_not_the_engines() -> None:
    async def answer() -> float:
        timer = AnswerTimer(LIMITS)
        async with timer.watch():
            timer.wait()
            timer.received()
            await asyncio.sleep(100)
            timer.wait()
            await asyncio.sleep(29)
            timer.received()
        return asyncio.get_running_loop().time()

    assert run(answer()) == 129


def test_a_timeout_of_someone_else_stays_what_it_is() -> None:
    async def answer() -> None:
        async with AnswerTimer(LIMITS).watch(), asyncio.timeout(1):
            await asyncio.sleep(50)

    with pytest.raises(TimeoutError):
        run(answer())


def test_limits_are_by_route_and_kind_of_answer() -> None:
    own = RouteTimeLimits(whole=TimeLimits(whole_s=20))
    limits = AnswerTimeLimits(stream=TimeLimits(between_bytes_s=7), routes={"/v1/audio/transcriptions": own})
    settings = Gateway(time_limits=limits)
    assert seconds_for(settings, "/v1/audio/transcriptions", False) == Seconds(600, 60, 20)
    assert seconds_for(settings, "/v1/audio/transcriptions", True) == Seconds(300, 7, 7200)
    assert seconds_for(settings, "/v1/completions", False) == Seconds(600, 60, 600)
    assert seconds_for(Gateway(read_timeout_s=2), "/v1/completions", True) == Seconds(2, 2, 7200)
