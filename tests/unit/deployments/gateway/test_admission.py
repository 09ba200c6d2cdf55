from __future__ import annotations

import asyncio
import math
import random
import time

import pytest

from deployments.gateway import admission as module
from deployments.gateway.admission import Admission
from deployments.gateway.errors import ApiError
from deployments.routing import Booking, Replica, Work, make_policy

WORK = Work(10)


def replica(name: str, limit: int = 1) -> Replica:
    return Replica(name, f"{name}1", "pool", limit)


def door(*replicas: Replica, max_queue: float = 10, timeout_s: float | None = 5) -> Admission:
    made = Admission(make_policy("least-work"), max_queue, timeout_s)
    made.set_replicas(list(replicas))
    return made


async def waiting(admission: Admission, count: int) -> list[asyncio.Task[Booking]]:
    tasks = []
    for n in range(count):
        tasks.append(asyncio.create_task(admission.book(Work(n))))
        await asyncio.sleep(0)
    assert admission.waiting == count
    return tasks


async def test_requests_are_served_in_the_order_of_their_arrival() -> None:
    admission = door(one := replica("a"))
    holding = await admission.book(WORK)
    tasks = await waiting(admission, 4)
    for n, task in enumerate(tasks):
        admission.release(holding)
        holding = await task
        assert holding.work.amount == n
        assert [t.done() for t in tasks] == [True] * (n + 1) + [False] * (3 - n)
    admission.release(holding)
    assert (one.open_requests, one.open_work, admission.waiting) == (0, 0, 0)


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    admission = door(replica("a"))
    holding = await admission.book(WORK)
    (first,) = await waiting(admission, 1)
    admission.release(holding)
    second = asyncio.create_task(admission.book(WORK))
    await asyncio.sleep(0)
    assert (first.done(), second.done()) == (True, False)
    admission.release(await first)
    admission.release(await second)


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    admission = door(replica("a"), max_queue=2)
    holding = await admission.book(WORK)
    tasks = await waiting(admission, 2)
    with pytest.raises(ApiError) as refused:
        await admission.book(WORK)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert int(refused.value.response().headers["Retry-After"]) >= 1
    assert "2 requests already wait" in refused.value.message
    admission.release(holding)
    for task in tasks:
        admission.release(await task)


async def test_retry_after_is_the_time_that_the_queue_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = door(replica("a"), max_queue=40)
    for _ in range(11):  # two a second
        now += 0.5
        admission.release(await admission.book(WORK))
    holding = await admission.book(WORK)
    tasks = await waiting(admission, 40)
    with pytest.raises(ApiError) as refused:
        await admission.book(WORK)
    assert refused.value.retry_after_s == pytest.approx(20, rel=0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    admission.release(holding)


async def test_waiting_ends_with_the_queues_timeout() -> None:
    admission = door(one := replica("a"), timeout_s=0.05)
    holding = await admission.book(WORK)
    with pytest.raises(ApiError, match="had room within") as refused:
        await admission.book(WORK)
    assert (refused.value.status, refused.value.code) == (503, "no_replica")
    assert refused.value.retry_after_s is not None
    assert admission.waiting == 0
    admission.release(holding)
    assert one.open_requests == 0


async def test_an_mlperf_fleet_queues_without_limit_or_timeout() -> None:
    admission = door(replica("a"), max_queue=math.inf, timeout_s=None)
    holding = await admission.book(WORK)
    tasks = await waiting(admission, 3000)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        admission.release(holding)
        holding = await task
    admission.release(holding)


async def test_one_who_leaves_the_queue_holds_nothing() -> None:
    admission = door(one := replica("a"))
    holding = await admission.book(WORK)
    gone, stays = await waiting(admission, 2)
    gone.cancel()
    await asyncio.sleep(0)
    assert admission.waiting == 1
    admission.release(holding)
    admission.release(await stays)
    assert one.open_requests == 0


async def test_one_who_leaves_at_the_moment_of_the_booking_gives_it_back() -> None:
    admission = door(one := replica("a"))
    holding = await admission.book(WORK)
    gone, next_one = await waiting(admission, 2)
    admission.release(holding)
    gone.cancel()  # its booking is made, but it has not woken up yet
    with pytest.raises(asyncio.CancelledError):
        await gone
    admission.release(await asyncio.wait_for(next_one, 1))
    assert (one.open_requests, one.open_work) == (0, 0)


async def test_a_replica_that_failed_a_request_is_not_asked_again_by_it() -> None:
    a, b = replica("a", limit=2), replica("b")
    admission = door(a, b)
    taken = await admission.book(WORK, frozenset({"a1"}))
    assert taken.replica is b
    stuck = asyncio.create_task(admission.book(WORK, frozenset({"a1"})))
    await asyncio.sleep(0)
    free = asyncio.create_task(admission.book(WORK))
    await asyncio.sleep(0)
    assert (stuck.done(), free.done()) == (False, True), "one that waits for b does not hold up one that a can take"
    admission.release(taken)
    assert (await stuck).replica is b


async def test_where_all_have_failed_a_request_they_are_asked_again() -> None:
    a, b = replica("a"), replica("b")
    admission = door(a, b)
    assert (await admission.book(WORK, frozenset({"a1", "b1"}))).replica in (a, b)
    b.open_requests = b.limit
    waits_for_b = asyncio.create_task(admission.book(WORK, frozenset({"a1"})))
    await asyncio.sleep(0)
    a.open_requests = 0
    admission.set_replicas([a])
    assert (await asyncio.wait_for(waits_for_b, 1)).replica is a, "b is gone, and there is no other"


async def test_others_are_those_that_are_not_excluded() -> None:
    admission = door(replica("a"), replica("b"))
    assert admission.has_other({"a1"})
    assert not admission.has_other({"a1", "b1"})
    assert not door().has_other(set())


async def test_a_suspect_is_passed_over_and_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUSPECT_S", 0.1)
    a, b = replica("a", limit=10), replica("b", limit=10)
    admission = door(a, b)
    admission.suspect(a)
    assert {(await admission.book(WORK)).replica for _ in range(5)} == {b}
    admission.suspect(b)
    started = time.monotonic()
    booking = await asyncio.wait_for(admission.book(WORK), 2)
    assert booking.replica is a
    assert 0.05 < time.monotonic() - started < 1


async def test_replicas_that_leave_get_nothing_new_and_finish_what_they_have() -> None:
    a, b = replica("a"), replica("b", limit=5)
    admission = door(a)
    old = await admission.book(WORK)
    (task,) = await waiting(admission, 1)
    admission.set_replicas([b])
    assert a.leaving
    assert (await task).replica is b, "a replica that comes takes those who wait"
    admission.release(old)
    assert a.open_requests == 0
    assert (await admission.book(WORK)).replica is b


async def test_no_booking_is_lost_or_made_twice_whatever_happens() -> None:
    chance = random.Random(4)
    replicas = [replica(name, limit=3) for name in "abc"]
    admission = door(*replicas, max_queue=30)
    highest = 0

    async def client() -> str:
        nonlocal highest
        try:
            async with asyncio.timeout(chance.choice([0.001, 0.02, 5])):
                excluded = frozenset({f"{chance.choice('abc')}1"}) if chance.random() < 0.3 else frozenset[str]()
                booking = await admission.book(Work(chance.random()), excluded)
        except TimeoutError:
            return "gone"
        except ApiError:
            return "refused"
        assert booking.replica.incarnation not in excluded
        highest = max(highest, *(one.open_requests for one in replicas))
        await asyncio.sleep(chance.random() * 0.005)
        if chance.random() < 0.05:
            booking.replica.suspect_until = time.monotonic() + 0.01
        admission.release(booking)
        return "served"

    tasks = []
    for n in range(400):
        tasks.append(asyncio.create_task(client()))
        if n % 10 == 0:
            await asyncio.sleep(0.002)
            admission.set_replicas(chance.sample(replicas, chance.choice([2, 3])))
            for one in admission.replicas:
                one.leaving = False
    admission.set_replicas(replicas)
    for one in replicas:
        one.leaving = False
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert set(outcomes) == {"served", "gone", "refused"}
    assert [(one.open_requests, one.open_work) for one in replicas] == [(0, 0.0)] * 3
    assert len(outcomes) == 400
    assert admission.waiting == 0
    assert highest <= 3
