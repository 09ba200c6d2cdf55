from __future__ import annotations

import asyncio

import pytest

from cluster.fleet import AnswerTimeLimits, Gateway, RouteTimeLimits, TimeLimits
from deployments.gateway.proxy.time_limits import AnswerTimedOut, AnswerTimer, Limit, Seconds, seconds_for
from tests.support.virtual_time import run

LIMITS = Seconds(first_byte=60, between_bytes=30, whole=300)


def ended_by(silences: list[float], limits: Seconds = LIMITS) -> tuple[Limit | None, float]:
    """The limit that ends an answer whose pieces come after these silences, and when, in virtual seconds."""

    async def answer() -> tuple[Limit | None, float]:
        timer = AnswerTimer(limits)
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


def test_an_answer_of_a_replica_that_is_found_frozen_ends_at_once() -> None:
    async def answer() -> float:
        timer = AnswerTimer(LIMITS)
        asyncio.get_running_loop().call_later(7, timer.freeze, 5.0)
        with pytest.raises(AnswerTimedOut, match="5 s of silence") as late:
            async with timer.watch():
                await asyncio.sleep(59)
        assert late.value.limit is Limit.FROZEN
        return asyncio.get_running_loop().time()

    assert run(answer()) == pytest.approx(7, abs=0.1)


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
