from __future__ import annotations

import asyncio
import math
import random
import time
from typing import Any

import pytest

from cluster.fleet import Limits
from deployments.gateway.admission import Admission
from deployments.gateway.errors import ApiError
from deployments.gateway.limits import Quota
from deployments.gateway.proxy import outlier_ejection
from deployments.gateway.proxy.outlier_ejection import Failure
from deployments.gateway.tenants import Tenant
from deployments.routing import Booking, Replica, Request, Router
from deployments.routing.seeds import UNKNOWN

REQUEST = Request(tokens=10)


def door(max_queue: float = 10, timeout_s: float | None = 5, **limits: int) -> Admission:
    """A door to replicas of these names and limits."""
    made = Admission(Router("m"), max_queue, timeout_s)
    come(made, **(limits or {"a": 1}))
    return made


def come(admission: Admission, **limits: int) -> None:
    for name, limit in limits.items():
        admission.router.add(name, f"{name}1", "pool", limit, UNKNOWN)
    admission.grant()


def go(admission: Admission, name: str) -> None:
    admission.router.remove(f"{name}1")


def replica(admission: Admission, name: str) -> Replica:
    return admission.router.replicas[f"{name}1"]


def nothing_open(admission: Admission) -> bool:
    table = admission.router.table
    return not (table.open_requests.any() or table.waiting_work.any() or table.open_tokens.any())


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


async def test_an_ejected_replica_is_passed_over_and_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlier_ejection, "FIRST_EJECTION_S", 0.1)
    admission = door(a=10, b=5)
    a, b = replica(admission, "a"), replica(admission, "b")
    admission.failed(a, Failure.LOST)
    assert {(await admission.book(REQUEST)).replica for _ in range(5)} == {b}
    admission.failed(b, Failure.LOST)
    started = time.monotonic()
    booking = await asyncio.wait_for(admission.book(REQUEST), 2)
    assert booking.replica is a, "b is full, and no other event comes"
    assert 0.05 < time.monotonic() - started < 1


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


def tenant(name: str, priority: int = 0, **limits: int) -> Tenant:
    return Tenant(name, Quota(Limits(**limits) if limits else None), priority)


async def enqueue(admission: Admission, of: Tenant, count: int = 1, **fields: Any) -> list[asyncio.Task[Booking]]:
    """Requests that have to wait, in the order of their arrival."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(admission.book(Request(tokens=10, **fields), tenant=of)))
        await asyncio.sleep(0)
    return tasks


async def serve_all(admission: Admission, holding: Booking, tasks: dict[asyncio.Task[Booking], str]) -> list[str]:
    """Names in the order in which one slot serves them."""
    served = []
    left = set(tasks)
    while left:
        admission.release(holding)
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED, timeout=1)
        (task,) = done
        holding = task.result()
        served.append(tasks[task])
    admission.release(holding)
    return served


async def test_tenants_take_turns_however_many_requests_one_of_them_has_sent() -> None:
    admission = door(max_queue=100)
    holding = await admission.book(REQUEST)
    tasks = dict.fromkeys(await enqueue(admission, tenant("hog"), 20), "hog")
    tasks |= dict.fromkeys(await enqueue(admission, tenant("light"), 5), "light")
    assert admission.waiting_by_tenant() == {"hog": 20, "light": 5}
    served = await serve_all(admission, holding, tasks)
    assert served[:11].count("light") == 5
    assert nothing_open(admission)


async def test_a_step_of_priority_doubles_a_tenants_share() -> None:
    admission = door(max_queue=100)
    holding = await admission.book(REQUEST)
    tasks = dict.fromkeys(await enqueue(admission, tenant("usual"), 20), "usual")
    tasks |= dict.fromkeys(await enqueue(admission, tenant("urgent", priority=1), 20), "urgent")
    assert 9 <= (await serve_all(admission, holding, tasks))[:15].count("urgent") <= 11


async def test_requests_of_many_sequences_weigh_as_many() -> None:
    admission = door(max_queue=100)
    holding = await admission.book(REQUEST)
    tasks = dict.fromkeys(await enqueue(admission, tenant("wide"), 5, sequences=8), "wide")
    tasks |= dict.fromkeys(await enqueue(admission, tenant("narrow"), 16), "narrow")
    served = await serve_all(admission, holding, tasks)
    assert 10 <= served[:16].count("narrow") <= 15


async def test_a_tenant_that_has_filled_the_queue_gives_places_up_to_others() -> None:
    admission = door(max_queue=10)
    holding = await admission.book(REQUEST)
    hog, light = tenant("hog"), tenant("light")
    hogs = await enqueue(admission, hog, 10)
    lights = await enqueue(admission, light, 5)
    assert admission.waiting_by_tenant() == {"hog": 5, "light": 5}
    for evicted in hogs[5:]:
        with pytest.raises(ApiError) as refused:
            await evicted
        assert refused.value.status == 429
    for full in (hog, light):
        with pytest.raises(ApiError):
            await admission.book(REQUEST, tenant=full)
    tasks = dict.fromkeys(hogs[:5], "hog") | dict.fromkeys(lights, "light")
    assert len(await serve_all(admission, holding, tasks)) == 10
    assert nothing_open(admission)


async def test_a_tenant_at_its_concurrent_requests_waits_and_holds_nobody_up() -> None:
    admission, elsewhere = door(a=10), door(a=10)
    limited, free = tenant("limited", concurrent_requests=2), tenant("free")
    first = await admission.book(REQUEST, tenant=limited)
    second = await elsewhere.book(REQUEST, tenant=limited)
    waits = await enqueue(admission, limited, 2)
    others = [await asyncio.wait_for(admission.book(REQUEST, tenant=free), 1) for _ in range(3)]
    assert not any(task.done() for task in waits)
    elsewhere.release(second)  # of another model
    third = await asyncio.wait_for(waits[0], 1)
    assert not waits[1].done()
    waits[1].cancel()
    await asyncio.gather(waits[1], return_exceptions=True)
    for booking in (first, third, *others):
        admission.release(booking)
    assert limited.quota.concurrency.running == 0
    assert nothing_open(admission)


async def test_a_request_of_many_sequences_takes_as_many_slots_and_starves_nowhere() -> None:
    admission = door(a=4)
    small = await admission.book(REQUEST)
    wide = await asyncio.wait_for(admission.book(Request(tokens=10, sequences=60)), 1)
    assert int(admission.router.table.open_requests.sum()) == 61
    (waits,) = await enqueue(admission, tenant("t"))
    admission.release(small)
    assert not waits.done(), "60 are still open where there is room for 4"
    admission.release(wide)
    admission.release(await asyncio.wait_for(waits, 1))
    assert nothing_open(admission)


async def test_without_a_replica_requests_wait_as_long_as_its_start_may_take() -> None:
    admission = Admission(Router("m"), 10, queue_timeout_s=0.05, start_timeout_s=900)
    task = asyncio.create_task(admission.book(REQUEST))
    await asyncio.sleep(0.2)
    assert not task.done(), "the queue's timeout is for room on a replica"
    come(admission, a=1)
    holding = await asyncio.wait_for(task, 1)
    with pytest.raises(ApiError, match="had room within"):
        await admission.book(REQUEST)
    admission.release(holding)


async def test_the_queues_timeout_begins_when_the_first_replica_is_there() -> None:
    admission = Admission(Router("m"), 10, queue_timeout_s=0.3, start_timeout_s=900)
    tasks = [asyncio.create_task(admission.book(REQUEST)) for _ in range(2)]
    await asyncio.sleep(0.4)
    come(admission, a=1)
    done, (left,) = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert not left.done()
    with pytest.raises(ApiError, match="had room within 0 s"):
        await asyncio.wait_for(left, 2)
    admission.release(done.pop().result())
    assert nothing_open(admission)


async def test_where_no_replica_starts_in_time_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission(Router("m"), 1, queue_timeout_s=0.01, start_timeout_s=0.05)
    with pytest.raises(ApiError, match="has no replica, and none has started within") as refused:
        await admission.book(REQUEST)
    assert (refused.value.status, refused.value.code) == (503, "no_replica")


async def test_retry_after_is_the_expected_start_where_there_is_no_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = Admission(Router("m"), 1, queue_timeout_s=120, start_timeout_s=900)

    async def refusal_after(seconds: float) -> float | None:
        nonlocal now
        waiting_one = asyncio.create_task(admission.book(REQUEST))
        await asyncio.sleep(0)
        now += seconds
        with pytest.raises(ApiError) as refused:
            await admission.book(REQUEST)
        come(admission, a=1)
        admission.release(await asyncio.wait_for(waiting_one, 1))
        go(admission, "a")
        admission.grant()
        return refused.value.retry_after_s

    assert await refusal_after(60) == pytest.approx(840), "as long as it may take"
    assert await refusal_after(20) == pytest.approx(40), "as the last start, of 60 s"


async def test_one_request_probes_a_replica_after_its_ejection(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    admission = door(a=10, b=10)
    a = replica(admission, "a")
    admission.failed(a, Failure.LOST)
    now += 10
    bookings = [await admission.book(REQUEST) for _ in range(8)]
    assert [booking.replica for booking in bookings].count(a) == 1
    (probe,) = (booking for booking in bookings if booking.replica is a)
    admission.succeeded(a)
    bookings += [await admission.book(REQUEST) for _ in range(8)]
    assert [booking.replica for booking in bookings].count(a) > 1
    assert probe in bookings
    for booking in bookings:
        admission.release(booking)
