from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.proxy.recovery.outlier_ejection import (
    CONSECUTIVE,
    FIRST_EJECTION_S,
    LEAST_ANSWERS,
    MOST_EJECTION_S,
    Failure,
    OutlierEjection,
)
from deployments.routing import Replica


class Fleet:
    """Replicas named by letters, in two pools, and until when the router passes each over."""

    def __init__(self, names: str) -> None:
        self.replicas = {name: Replica(name, name, "even" if n % 2 else "odd", n) for n, name in enumerate(names)}
        self.until = dict.fromkeys(names, 0.0)
        self.ejection = OutlierEjection(self.replicas, lambda replica, until: self.until.update({replica.name: until}))

    def fail(self, name: str, now: float, failure: Failure = Failure.ERROR, times: int = 1) -> bool:
        return [self.ejection.failed(self.replicas[name], failure, now) for _ in range(times)][-1]

    def succeed(self, name: str, now: float) -> None:
        self.ejection.succeeded(self.replicas[name], now)


def test_errors_in_a_row_eject_and_one_success_between_them_does_not() -> None:
    fleet = Fleet("ab")
    for now in range(20):
        assert not fleet.fail("a", now, times=CONSECUTIVE - 1)
        for _ in range(2 * CONSECUTIVE):
            fleet.succeed("a", now)
    assert fleet.fail("a", 20.0, times=CONSECUTIVE)
    assert fleet.until == {"a": 20.0 + FIRST_EJECTION_S, "b": 0.0}
    assert fleet.ejection.counts == {("odd", "5xx"): 1}


def test_half_of_the_answers_failing_ejects_also_when_they_alternate() -> None:
    fleet = Fleet("ab")
    for now in range(LEAST_ANSWERS):
        if now % 2:
            fleet.fail("a", now / 10)
        else:
            fleet.succeed("a", now / 10)
    assert fleet.ejection.ejected() == ["a"]


def test_replicas_that_may_be_frozen_are_avoided_for_a_while_and_never_more_than_half() -> None:
    fleet = Fleet("abcd")
    for name in "abc":
        fleet.ejection.avoid(fleet.replicas[name], 1.0, 1.5)
    assert fleet.until == {"a": 1.5, "b": 1.5, "c": 0.0, "d": 0.0}
    assert fleet.ejection.ejected() == []
    assert fleet.ejection.next_end(1.0) == 1.5
    fleet.ejection.avoid(fleet.replicas["a"], 1.25, 1.75)
    assert fleet.until["a"] == 1.75, "itself does not stand in its own way"
    fleet.ejection.avoid(fleet.replicas["c"], 1.6, 2.0)
    assert fleet.until["c"] == 2.0, "b is in use again"
    assert fleet.ejection.next_end(2.0) is None


def test_an_ejection_is_not_shortened_by_avoiding() -> None:
    fleet = Fleet("ab")
    fleet.fail("a", 1.0, Failure.FROZEN)
    fleet.ejection.avoid(fleet.replicas["a"], 1.1, 1.2)
    assert fleet.until["a"] == 1.0 + FIRST_EJECTION_S


def test_there_is_a_better_replica_only_where_another_is_in_use() -> None:
    fleet = Fleet("abc")
    a, b, _ = fleet.replicas.values()
    assert fleet.ejection.has_better(a)
    fleet.fail("b", 1.0, Failure.FROZEN)
    assert fleet.ejection.has_better(a)
    assert fleet.ejection.has_better(b)
    del fleet.replicas["c"]
    assert not fleet.ejection.has_better(a)


@pytest.mark.parametrize("failure", [Failure.UNREACHABLE, Failure.DIED, Failure.FROZEN])
def test_a_replica_that_is_surely_gone_is_ejected_at_once(failure: Failure) -> None:
    fleet = Fleet("ab")
    assert fleet.fail("a", 1.0, failure)
    assert not fleet.fail("b", 1.0, Failure.WITHDRAWN)


def test_broken_connections_of_a_living_engine_eject_when_they_come_in_a_row() -> None:
    fleet = Fleet("ab")
    assert not fleet.fail("a", 1.0, Failure.LOST, times=CONSECUTIVE - 1)
    assert fleet.fail("a", 1.0, Failure.LOST)


def test_ejections_grow_with_each_failed_probe_up_to_a_limit() -> None:
    fleet = Fleet("ab")
    now, ends = 0.0, []
    fleet.fail("a", now, times=CONSECUTIVE)
    for _ in range(12):
        ends.append(fleet.until["a"] - now)
        now = fleet.until["a"]
        fleet.ejection.sent(fleet.replicas["a"], "probe")
        assert fleet.until["a"] == math.inf, "nobody follows the probe"
        assert fleet.ejection.is_probing(fleet.replicas["a"])
        assert fleet.fail("a", now), "one failure of a probe is enough"
    assert all(second == min(2 * first, MOST_EJECTION_S) for first, second in pairwise(ends))
    assert ends[-1] == MOST_EJECTION_S


def test_calm_after_an_ejection_shortens_the_next_one() -> None:
    fleet = Fleet("ab")
    lasted = []
    for now in (0.0, 10.0, 20.0, 200.0):
        fleet.fail("a", now, Failure.DIED)
        lasted.append(fleet.until["a"] - now)
        end = fleet.until["a"]
        fleet.ejection.sent(fleet.replicas["a"], "probe")
        fleet.succeed("a", end)
    assert lasted == [2.0, 4.0, 8.0, 4.0]


def test_a_probe_that_succeeds_brings_the_replica_back() -> None:
    fleet = Fleet("ab")
    fleet.fail("a", 0.0, Failure.DIED)
    fleet.succeed("a", 1.0)
    assert fleet.ejection.ejected() == ["a"], "an answer that began before is no probe"
    fleet.ejection.sent(fleet.replicas["a"], "probe")
    fleet.succeed("a", 3.0)
    assert not fleet.ejection.ejected()
    assert fleet.until["a"] <= 3.0
    assert not fleet.fail("a", 3.0), "it begins anew"


def test_a_probe_without_a_verdict_is_followed_by_another() -> None:
    fleet = Fleet("ab")
    fleet.fail("a", 0.0, Failure.DIED)
    fleet.ejection.sent(fleet.replicas["a"], "probe")
    fleet.ejection.ended(fleet.replicas["a"], "one of before", 4.0)
    assert fleet.until["a"] == math.inf
    fleet.ejection.ended(fleet.replicas["a"], "probe", 5.0)
    assert fleet.until["a"] == 5.0
    fleet.ejection.sent(fleet.replicas["a"], "probe")
    assert fleet.ejection.is_probing(fleet.replicas["a"])


def test_the_last_one_that_serves_is_never_ejected() -> None:
    fleet = Fleet("a")
    assert not fleet.fail("a", 1.0, Failure.DIED, times=50)
    fleet = Fleet("ab")
    assert fleet.fail("a", 1.0, Failure.DIED)
    assert not fleet.fail("b", 1.0, Failure.DIED, times=50)


def test_where_healthy_ones_leave_ejected_ones_come_back() -> None:
    fleet = Fleet("abcd")
    for name in "ab":
        fleet.fail(name, 1.0, Failure.DIED)
    del fleet.replicas["c"]
    fleet.ejection.replicas_changed(1.5)
    assert len(fleet.ejection.ejected()) == 1


@given(
    st.integers(1, 7),
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([*Failure, "ok", "sent", "ended", "left"]), st.floats(0, 10)),
        max_size=120,
    ),
)
def test_at_most_half_is_ejected_over_all_pools_whatever_happens(
    count: int, steps: list[tuple[int, Failure | str, float]]
) -> None:
    fleet = Fleet("abcdefg"[:count])
    now = 0.0
    for number, step, pause_s in steps:
        now += pause_s
        name = "abcdefg"[number % count]
        replica = fleet.replicas.get(name)
        if replica is None:
            continue
        if isinstance(step, Failure):
            fleet.ejection.failed(replica, step, now)
        elif step == "ok":
            fleet.ejection.succeeded(replica, now)
        elif step == "sent" and fleet.until[name] <= now:
            fleet.ejection.sent(replica, replica)
        elif step == "ended":
            fleet.ejection.ended(replica, replica, now)
        elif step == "left" and len(fleet.replicas) > 1:
            del fleet.replicas[name]
            fleet.ejection.replicas_changed(now)
        passed_over = [n for n in fleet.replicas if fleet.until[n] > now]
        assert len(passed_over) <= len(fleet.replicas) // 2
        assert set(passed_over) <= set(fleet.ejection.ejected())
