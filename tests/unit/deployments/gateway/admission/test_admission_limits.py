"""Admission between tenants, for many sequences, and before the first replica."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cluster.fleet import Limits
from deployments.gateway.admission.limits import Quota
from deployments.gateway.admission.model_admission import Admission
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.identity.tenants import Tenant
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.routing import Booking, Request, Router
from tests.support.admissions import REQUEST, come, door, go, nothing_open, replica
from tests.support.virtual_time import run


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


def test_without_a_replica_requests_wait_as_long_as_its_start_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        admission = Admission(Router("m"), 10, queue_timeout_s=120, start_timeout_s=900)
        task = asyncio.create_task(admission.book(REQUEST))
        await asyncio.sleep(800)
        assert not task.done(), "the queue's timeout is for room on a replica"
        come(admission, a=1)
        holding = await task
        with pytest.raises(ApiError, match="had room within 120 s"):
            await admission.book(REQUEST)
        assert time.monotonic() == pytest.approx(920)
        admission.release(holding)

    run(main(), monkeypatch)


def test_the_queues_timeout_begins_when_the_first_replica_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        admission = Admission(Router("m"), 10, queue_timeout_s=120, start_timeout_s=900)
        tasks = [asyncio.create_task(admission.book(REQUEST)) for _ in range(2)]
        await asyncio.sleep(400)
        come(admission, a=1)
        done, (left,) = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(ApiError, match="had room within 120 s"):
            await left
        assert time.monotonic() == pytest.approx(520)
        admission.release(done.pop().result())
        assert nothing_open(admission)

    run(main(), monkeypatch)


def test_where_no_replica_starts_in_time_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        admission = Admission(Router("m"), 1, queue_timeout_s=120, start_timeout_s=900)
        with pytest.raises(ApiError, match="has no replica, and none has started within 900 s") as refused:
            await admission.book(REQUEST)
        assert (refused.value.status, refused.value.code) == (503, "no_replica")
        assert time.monotonic() == pytest.approx(900)

    run(main(), monkeypatch)


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
    admission.failed(a, Failure.DIED)
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
