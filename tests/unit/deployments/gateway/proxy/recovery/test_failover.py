from __future__ import annotations

import logging
import time

import pytest

from deployments.gateway.admission.model_admission import Admission
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.proxy.recovery import failover as module
from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.failover import Failover
from deployments.gateway.proxy.recovery.outlier_ejection import CONSECUTIVE, Failure
from deployments.gateway.proxy.recovery.retry_budget import RetryBudget, RetryClaim
from deployments.routing import Request, Router
from deployments.routing.seeds import UNKNOWN


def admission(names: str = "abcd", queue_timeout_s: float = 5) -> Admission:
    made = Admission(Router("m"), 10, queue_timeout_s)
    for name in names:
        made.router.add(name, name, "pool", 10, UNKNOWN)
    return made


def failover(to: Admission, attempts: int = 3, budget: RetryBudget | None = None) -> Failover:
    return Failover(to, attempts, RetryClaim(budget or RetryBudget()), "m", "request-7")


async def fail(budget: Failover, to: Admission, failure: Failure, health: Health = Health.ALIVE) -> None:
    """One attempt that fails."""

    async def check() -> Health:
        return health

    booking = await to.book(Request(tokens=1), frozenset(budget.failed))
    await budget.failed_at(booking, failure, check)
    to.release(booking)


async def test_one_budget_bounds_all_attempts_whatever_their_failures() -> None:
    to = admission()
    budget = failover(to, attempts=3)
    for failure in (Failure.ERROR, Failure.LOST, Failure.TIMED_OUT):
        await budget.before_next()
        await fail(budget, to, failure)
    with pytest.raises(ApiError, match="3 tried") as refused:
        await budget.before_next()
    assert (refused.value.status, refused.value.code) == (503, "replicas_failed")


async def test_one_that_was_not_reached_costs_no_attempt_and_no_retry_budget() -> None:
    to = admission()
    retries = RetryBudget(share=0, least=0)
    budget = failover(to, attempts=1, budget=retries)
    for failure in (Failure.UNREACHABLE, Failure.WITHDRAWN, Failure.UNREACHABLE):
        await fail(budget, to, failure)
        await budget.before_next()
    assert retries.retrying == retries.refused == 0


async def test_where_nobody_can_be_reached_the_queues_timeout_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.0)
    to = admission("a", queue_timeout_s=5)
    budget = failover(to)
    await fail(budget, to, Failure.UNREACHABLE)
    await budget.before_next()
    later = time.monotonic() + 6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(ApiError):
        await budget.before_next()


async def test_a_request_that_was_in_flight_at_two_engine_deaths_is_refused_and_its_id_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    to = admission()
    budget = failover(to, attempts=10)
    await fail(budget, to, Failure.LOST, Health.DEAD)
    await budget.before_next()
    assert "request-7" not in caplog.text
    await fail(budget, to, Failure.ERROR, Health.DEAD)
    with pytest.raises(ApiError) as refused:
        await budget.before_next()
    assert (refused.value.status, refused.value.code) == (500, "engines_died")
    assert refused.value.headers["x-should-retry"] == "false"
    assert "request-7" in caplog.text


async def test_a_connection_that_breaks_at_a_living_engine_is_no_death() -> None:
    to = admission()
    budget = failover(to, attempts=10)
    for _ in range(4):
        await fail(budget, to, Failure.LOST, Health.ALIVE)
        await budget.before_next()
    assert budget.deaths == 0


async def test_the_requests_of_a_dead_engine_move_without_retry_budget_and_others_need_it() -> None:
    to = admission()
    nothing_left = RetryBudget(share=0, least=0)
    moved = failover(to, budget=nothing_left)
    await fail(moved, to, Failure.LOST, Health.DEAD)
    await moved.before_next()
    refused = failover(to, budget=nothing_left)
    await fail(refused, to, Failure.TIMED_OUT)
    with pytest.raises(ApiError):
        await refused.before_next()
    booking = await to.book(Request(tokens=1))
    assert not failover(to, budget=nothing_left).may_retry(booking), "the engine's own error is passed on"
    assert failover(to).may_retry(booking)
    to.release(booking)
    assert nothing_left.refused == 2


async def test_a_replica_is_blamed_for_an_error_only_where_another_one_answers() -> None:
    to = admission()
    for _ in range(10):  # a request that every engine fails
        budget = failover(to, attempts=2)
        await fail(budget, to, Failure.ERROR)
        await fail(budget, to, Failure.ERROR)
    assert not to.ejection.ejected()
    bad = to.router.replicas["a"]
    others = frozenset("bcd")
    for _ in range(CONSECUTIVE):

        async def alive() -> Health:
            return Health.ALIVE

        budget = failover(to)
        first = await to.book(Request(tokens=1), others)
        assert first.replica is bad
        await budget.failed_at(first, Failure.ERROR, alive)
        to.release(first)
        second = await to.book(Request(tokens=1), frozenset(budget.failed))
        budget.answered(second)
        to.release(second)
    assert to.ejection.ejected() == ["a"]
