from __future__ import annotations

import asyncio
import math
import random
import time

import pytest

from deployments.gateway.admission.model_admission import Admission
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.proxy.recovery.outlier_ejection import FIRST_EJECTION_S, Failure
from deployments.routing import Booking, Request, Router
from tests.support import virtual_time
from tests.support.admissions import REQUEST, come, door, go, nothing_open, replica


async def waiting(admission: Admission, count: int) -> list[asyncio.Task[Booking]]:
    tasks = []
    for n in range(count):
        tasks.append(asyncio.create_task(admission.book(Request(tokens=n))))
        await asyncio.sleep(0)
    assert admission.waiting == count
    return tasks


async def test_requests_are_served_in_the_order_of_their_arrival() -> None:
    admission = door()
    holding = await admission.book(REQUEST)
    tasks = await waiting(admission, 4)
    for n, task in enumerate(tasks):
        admission.release(holding)
        holding = await task
        assert holding.request.tokens == n
        assert [t.done() for t in tasks] == [True] * (n + 1) + [False] * (3 - n)
    admission.release(holding)
    assert nothing_open(admission)
    assert admission.waiting == 0


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    admission = door()
    holding = await admission.book(REQUEST)
    (first,) = await waiting(admission, 1)
    admission.release(holding)
    second = asyncio.create_task(admission.book(REQUEST))
    await asyncio.sleep(0)
    assert (first.done(), second.done()) == (True, False)
    admission.release(await first)
    admission.release(await second)


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    admission = door(max_queue=2)
    holding = await admission.book(REQUEST)
    tasks = await waiting(admission, 2)
    with pytest.raises(ApiError) as refused:
        await admission.book(REQUEST)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert int(refused.value.response().headers["Retry-After"]) >= 1
    assert "2 requests already wait" in refused.value.message
    admission.release(holding)
    for task in tasks:
        admission.release(await task)


async def test_retry_after_is_the_time_that_the_queue_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = door(max_queue=40)
    for _ in range(11):  # two a second
        now += 0.5
        admission.release(await admission.book(REQUEST))
    holding = await admission.book(REQUEST)
    tasks = await waiting(admission, 40)
    with pytest.raises(ApiError) as refused:
        await admission.book(REQUEST)
    assert refused.value.retry_after_s == pytest.approx(20, rel=0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    admission.release(holding)


async def test_waiting_ends_with_the_queues_timeout() -> None:
    admission = door(timeout_s=0.05)
    holding = await admission.book(REQUEST)
    with pytest.raises(ApiError, match="had room within") as refused:
        await admission.book(REQUEST)
    assert (refused.value.status, refused.value.code) == (503, "no_replica")
    assert refused.value.retry_after_s is not None
    assert admission.waiting == 0
    admission.release(holding)
    assert nothing_open(admission)


async def test_an_mlperf_fleet_queues_without_limit_or_timeout() -> None:
    admission = door(max_queue=math.inf, timeout_s=None)
    holding = await admission.book(REQUEST)
    tasks = await waiting(admission, 3000)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        admission.release(holding)
        holding = await task
    admission.release(holding)


async def test_one_who_leaves_the_queue_holds_nothing() -> None:
    admission = door()
    holding = await admission.book(REQUEST)
    gone, stays = await waiting(admission, 2)
    gone.cancel()
    await asyncio.sleep(0)
    assert admission.waiting == 1
    admission.release(holding)
    admission.release(await stays)
    assert nothing_open(admission)


async def test_one_who_leaves_at_the_moment_of_the_booking_gives_it_back() -> None:
    admission = door()
    holding = await admission.book(REQUEST)
    gone, next_one = await waiting(admission, 2)
    admission.release(holding)
    gone.cancel()  # its booking is made, but it has not woken up yet
    with pytest.raises(asyncio.CancelledError):
        await gone
    admission.release(await asyncio.wait_for(next_one, 1))
    assert nothing_open(admission)


async def test_a_replica_that_failed_a_request_is_not_asked_again_by_it() -> None:
    admission = door(a=2, b=1)
    b = replica(admission, "b")
    taken = await admission.book(REQUEST, frozenset({"a1"}))
    assert taken.replica is b
    stuck = asyncio.create_task(admission.book(REQUEST, frozenset({"a1"})))
    await asyncio.sleep(0)
    free = asyncio.create_task(admission.book(REQUEST))
    await asyncio.sleep(0)
    assert (stuck.done(), free.done()) == (False, True), "one that waits for b does not hold up one that a can take"
    admission.release(taken)
    assert (await stuck).replica is b


async def test_where_all_have_failed_a_request_they_are_asked_again() -> None:
    admission = door(a=1, b=1)
    a, b = replica(admission, "a"), replica(admission, "b")
    taken = await admission.book(REQUEST, frozenset({"a1", "b1"}))
    assert taken.replica in (a, b)
    admission.release(taken)
    on_b = await admission.book(REQUEST, frozenset({"a1"}))
    waits_for_b = asyncio.create_task(admission.book(REQUEST, frozenset({"a1"})))
    await asyncio.sleep(0)
    assert not waits_for_b.done()
    go(admission, "b")
    admission.grant()
    assert (await asyncio.wait_for(waits_for_b, 1)).replica is a, "b is gone, and there is no other"
    admission.release(on_b)


async def test_others_are_those_that_are_not_excluded() -> None:
    admission = door(a=1, b=1)
    assert admission.has_other({"a1"})
    assert not admission.has_other({"a1", "b1"})
    assert not Admission(Router("m"), 1, 1).has_other(set())


def test_an_ejected_replica_is_passed_over_and_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        admission = door(a=10, b=5, timeout_s=60)
        a, b = replica(admission, "a"), replica(admission, "b")
        admission.failed(a, Failure.DIED)
        assert {(await admission.book(REQUEST)).replica for _ in range(5)} == {b}
        admission.failed(b, Failure.DIED)
        started = time.monotonic()
        booking = await admission.book(REQUEST)
        assert booking.replica is a, "b is full, and no other event comes"
        assert FIRST_EJECTION_S <= time.monotonic() - started <= FIRST_EJECTION_S + 0.1

    virtual_time.run(main(), monkeypatch)


async def test_replicas_that_leave_get_nothing_new_and_finish_what_they_have() -> None:
    admission = door(a=1)
    old = await admission.book(REQUEST)
    (task,) = await waiting(admission, 1)
    go(admission, "a")
    come(admission, b=5)
    b = replica(admission, "b")
    assert (await task).replica is b, "a replica that comes takes those who wait"
    admission.release(old)
    assert (await admission.book(REQUEST)).replica is b


async def test_the_urgent_go_first_and_equals_in_order_of_arrival() -> None:
    admission = door()
    holding = await admission.book(REQUEST)
    tasks = {}
    for name, priority in (("usual", 0), ("later", 0), ("batch", -1), ("urgent", 5)):
        tasks[name] = asyncio.create_task(admission.book(Request(tokens=1, session=name, priority=priority)))
        await asyncio.sleep(0)
    served = []
    while len(served) < len(tasks):
        admission.release(holding)
        holding = await asyncio.wait_for((await _first(tasks, served)).pop(), 1)
        served.append(str(holding.request.session))
    assert served == ["urgent", "usual", "later", "batch"]
    admission.release(holding)


async def _first(tasks: dict[str, asyncio.Task[Booking]], served: list[str]) -> set[asyncio.Task[Booking]]:
    open_ones = [task for name, task in tasks.items() if name not in served]
    done, _ = await asyncio.wait(open_ones, return_when=asyncio.FIRST_COMPLETED, timeout=1)
    assert len(done) == 1
    return done


async def test_no_booking_is_lost_or_made_twice_whatever_happens() -> None:
    chance = random.Random(4)
    admission = door(max_queue=8, a=3, b=3, c=3)
    table = admission.router.table
    highest = 0

    async def client() -> str:
        nonlocal highest
        try:
            async with asyncio.timeout(chance.choice([0.001, 0.02, 5])):
                excluded = frozenset({f"{chance.choice('abc')}1"}) if chance.random() < 0.3 else frozenset[str]()
                request = Request(tokens=chance.randrange(1000), priority=chance.choice([0, 0, 1]))
                booking = await admission.book(request, excluded)
        except TimeoutError:
            return "gone"
        except ApiError:
            return "refused"
        highest = max(highest, int(table.open_requests.max()))
        await asyncio.sleep(chance.random() * 0.005)
        if chance.random() < 0.05:
            admission.router.eject(booking.replica, time.monotonic() + 0.01)
        if chance.random() < 0.5:
            admission.first_token(booking)
        admission.finish(booking, 5) if chance.random() < 0.5 else admission.release(booking)
        return "served"

    tasks = []
    absent: set[str] = set()
    for n in range(400):
        tasks.append(asyncio.create_task(client()))
        if n % 10 == 0:
            await asyncio.sleep(0.002)
            come(admission, **dict.fromkeys(absent, 3))
            absent = set(chance.sample("abc", chance.choice([0, 1])))
            for name in absent:
                go(admission, name)
    come(admission, **dict.fromkeys(absent, 3))
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert set(outcomes) == {"served", "gone", "refused"}
    assert len(outcomes) == 400
    assert nothing_open(admission)
    assert admission.waiting == 0
    assert highest <= 3
    assert int(table.present.sum()) == 3, "rows of those that left are free again"
