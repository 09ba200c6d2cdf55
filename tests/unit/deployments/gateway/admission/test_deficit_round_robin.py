from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.admission.deficit_round_robin import QUANTUM_S, DeficitRoundRobin, Entry


@dataclass(order=True)
class Job:
    arrival: float
    tenant: str = field(compare=False)
    service_s: float = field(compare=False)


def jobs(tenant: str, rate: float, service_s: tuple[float, float], until: float, seed: int) -> list[Job]:
    """Poisson arrivals with uniformly distributed service times."""
    chance, now, made = random.Random(seed), 0.0, []
    while (now := now + chance.expovariate(rate)) < until:
        made.append(Job(now, tenant, chance.uniform(*service_s)))
    return made


def simulate(arrivals: list[Job], servers: int, weights: dict[str, float]) -> dict[str, list[float]]:
    """Tenant -> queue times in virtual seconds. Every job is served, and no server idles while one waits."""
    queue: DeficitRoundRobin[Job] = DeficitRoundRobin()
    waited: dict[str, list[float]] = {tenant: [] for tenant in weights}
    ends: list[float] = []
    coming = sorted(arrivals)
    number = 0
    now = 0.0
    while number < len(coming) or queue:
        while len(ends) < servers and (entry := queue.next()):
            queue.take(entry)
            waited[entry.item.tenant].append(now - entry.item.arrival)
            heapq.heappush(ends, now + entry.item.service_s)
        assert len(ends) == servers or not queue, "work-conserving"
        next_arrival = coming[number].arrival if number < len(coming) else float("inf")
        if ends and ends[0] <= next_arrival:
            now = heapq.heappop(ends)
        elif number < len(coming):
            job = coming[number]
            now = job.arrival
            queue.push(job.tenant, weights[job.tenant], job.service_s, (0, number), job)
            number += 1
    assert sum(map(len, waited.values())) == len(arrivals), "conserved"
    return waited


def residual(low: float, high: float) -> float:
    """Mean seconds left of a service under way that is uniformly distributed: E[S^2] / 2 E[S]."""
    return (low * low + low * high + high * high) / 3 / (low + high)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("priority", [0, 1, -1], ids=["equal", "twice", "half"])
@pytest.mark.parametrize("hog_service_s", [(0.5, 1.5), (3.0, 5.0), (0.05, 0.15)], ids=["alike", "long", "short"])
@pytest.mark.parametrize("seed", range(2))
def test_a_tenant_with_ten_times_its_share_hardly_delays_another(
    priority: int, hog_service_s: tuple[float, float], seed: int
) -> None:
    """Queue time at most 1.2 times that on a fleet of the tenant's own share, and one residual service time."""
    servers, until, load = 12, 200.0, 0.9
    weights = {"light": 2.0**priority, "hog": 1.0}
    own_servers = round(servers * weights["light"] / sum(weights.values()))
    light = jobs("light", load * own_servers / 1.0, (0.5, 1.5), until, seed)
    hog_rate = 10 * (servers - own_servers) / mean(list(hog_service_s))
    hog = jobs("hog", hog_rate, hog_service_s, until / 10, seed + 100)  # its backlog lasts to the end
    shared = simulate(light + hog, servers, weights)["light"]
    alone = simulate(light, own_servers, {"light": 1.0})["light"]
    share = own_servers / servers
    residual_s = share * residual(0.5, 1.5) + (1 - share) * residual(*hog_service_s)
    assert mean(shared) <= 1.2 * mean(alone) + residual_s
    in_order = simulate([Job(j.arrival, "all", j.service_s) for j in light + hog], servers, {"all": 1.0})["all"]
    assert mean(in_order) > 10 * mean(shared), "in order of arrival all would wait for the hog"


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 2.0, "c": 4.0}])
def test_backlogged_tenants_get_seconds_of_work_by_weight(weights: dict[str, float]) -> None:
    chance = random.Random(2)
    queue: DeficitRoundRobin[float] = DeficitRoundRobin()
    sizes = {"a": (0.01, 0.02), "b": (0.5, 1.0), "c": (0.1, 2.0)}
    for number in range(9000):
        for tenant, weight in weights.items():
            price_s = chance.uniform(*sizes[tenant])
            queue.push(tenant, weight, price_s, (0, number), price_s)
    served: Counter[str] = Counter()
    for _ in range(9000):
        entry = queue.next()
        assert entry
        queue.take(entry)
        served[entry.tenant] += entry.item  # type: ignore[assignment]  # a counter of seconds
        if sum(served.values()) > 100:
            break
    share = {tenant: served[tenant] / weight for tenant, weight in weights.items()}
    assert max(share.values()) - min(share.values()) <= 2 * 2.0 + QUANTUM_S


def test_within_a_tenant_the_order_holds_whatever_the_price() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for order, item in (((0, 1), "first"), ((0, 2), "second"), ((-5, 3), "urgent")):
        queue.push("t", 1.0, 100.0 if item == "urgent" else 0.001, order, item)
    served = []
    while entry := queue.next():
        queue.take(entry)
        served.append(entry.item)
    assert served == ["urgent", "first", "second"]


def test_a_turn_that_was_not_used_is_still_that_tenants() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for tenant in ("a", "b"):
        queue.push(tenant, 1.0, 3.0, (0, 0), tenant)
    entry = queue.next()
    assert entry
    assert queue.next() is entry
    assert queue.next() is entry


def test_a_tenant_that_may_not_go_and_entries_that_are_passed_over_hold_nobody_up() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for tenant in ("a", "b"):
        for number in range(2):
            queue.push(tenant, 1.0, 1.0, (0, number), f"{tenant}{number}")
    entry = queue.next(lambda head: head.tenant != "a")
    assert entry is not None
    assert entry.item == "b0"
    entry = queue.next(lambda head: head.tenant != "a", {id(entry)})
    assert entry is not None
    assert entry.item == "b1"
    assert queue.next(lambda head: False) is None


def test_weights_that_lie_far_apart_cost_no_rounds() -> None:
    queue: DeficitRoundRobin[int] = DeficitRoundRobin()
    queue.push("low", 2.0**-100, 1.0, (0, 0), 0)
    for number in range(100):
        queue.push("high", 2.0**100, 1.0, (0, number), number)
    tenants = []
    while entry := queue.next():
        queue.take(entry)
        tenants.append(entry.tenant)
    assert tenants == ["high"] * 100 + ["low"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "next", "take", "cancel"]),
            st.sampled_from("abc"),
            st.floats(0, 1e3),
            st.integers(-100, 100),
            st.integers(0, 50),
        ),
        max_size=80,
    )
)
def test_entries_are_conserved_and_cancelled_ones_leave_no_trace(
    steps: list[tuple[str, str, float, int, int]],
) -> None:
    queue: DeficitRoundRobin[int] = DeficitRoundRobin()
    waiting: dict[int, Entry[int]] = {}
    for number, (step, tenant, price_s, priority, pick) in enumerate(steps):
        if step == "push":
            waiting[number] = queue.push(tenant, 2.0**priority, price_s, (-priority, number), number)
        elif step == "cancel" and waiting:
            key = sorted(waiting)[pick % len(waiting)]
            gone = waiting.pop(key)
            queue.remove(gone)
            queue.remove(gone)
            assert not gone.waits
        else:
            entry = queue.next()
            assert (entry is None) == (not waiting), "work-conserving"
            if entry and step == "take":
                assert waiting.pop(entry.item) is entry
                queue.take(entry)
        assert len(queue) == len(waiting) == sum(queue.waiting().values())
        assert sorted(entry.item for entry in queue.entries()) == sorted(waiting)
        assert set(queue.waiting()) == {entry.tenant for entry in waiting.values()}
    for entry in list(waiting.values()):
        queue.remove(entry)
    assert not queue.waiting()
    assert queue.next() is None
