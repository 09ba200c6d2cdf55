from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.autoscaling.control import Door
from deployments.engine.backend import EngineLoad
from deployments.registry import membership as module
from deployments.registry.membership import (
    DEPARTED_KEPT_S,
    IDLE_PERIOD_S,
    LIFETIME_S,
    SETTLING_S,
    STALL_S,
    Membership,
)
from deployments.registry.messages import GatewayReport, Listing, Loads, ReplicaReport, Withdrawal
from tests.support.processes import fake_pool, replica_info

INFO = replica_info("http://127.0.0.1:1", fake_pool())


def report(incarnation: str, running: int = 0) -> ReplicaReport:
    return ReplicaReport(replace(INFO, incarnation=incarnation, replica=incarnation), EngineLoad(running))


def gateway(name: str, waiting: int = 0) -> GatewayReport:
    return GatewayReport(name, (f"tcp://{name}:1",), (Door(source=name, model="m", waiting=waiting, booked_s={}),))


def passes(membership: Membership, begin: float, end: float) -> None:
    """Time passes while the registry looks as often as it should."""
    now = begin
    while now < end:
        membership.look(now)
        now += STALL_S / 2
    membership.look(end)


def listing(membership: Membership, now: float) -> Listing:
    """The full list, whether anything has changed or not."""
    membership._members_changed = True
    news = membership.news(now)
    assert isinstance(news, Listing)
    return news


def incarnations(membership: Membership, now: float) -> list[str]:
    return [each.info.incarnation for each in listing(membership, now).replicas]


def test_replicas_are_listed_from_their_first_report_to_their_withdrawal() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    assert listing(membership, 0.0) == Listing("r", (report("a"),), {}, ())
    membership.take(Withdrawal("a"), 1.0)
    assert listing(membership, 1.0) == Listing("r", (), {}, ("a",))
    membership.take(report("a"), 1.1)
    assert incarnations(membership, 1.1) == [], "a report that was under way does not list it again"


def test_withdrawal_of_an_unheard_replica_is_told_to_those_who_know_it_from_before() -> None:
    membership = Membership("r", 0.0)
    membership.take(Withdrawal("a"), 0.0)
    assert listing(membership, 0.0).departed == ("a",)
    assert listing(membership, DEPARTED_KEPT_S + 1).departed == ()


def test_silent_replicas_depart_and_come_back_with_their_next_report() -> None:
    membership = Membership("r", 0.0)
    for each in ("a", "b"):
        membership.take(report(each), 0.0)
    passes(membership, 0.0, LIFETIME_S - 1)
    membership.take(report("b"), LIFETIME_S - 1)
    passes(membership, LIFETIME_S - 1, LIFETIME_S + 1)
    assert incarnations(membership, LIFETIME_S + 1) == ["b"]
    assert listing(membership, LIFETIME_S + 1).departed == ("a",)
    membership.take(report("a"), LIFETIME_S + 2)
    assert incarnations(membership, LIFETIME_S + 2) == ["b", "a"]
    assert listing(membership, LIFETIME_S + 2).departed == ()


def test_registry_that_stood_still_blames_nobody_for_its_own_silence() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    membership.take(gateway("g"), 0.0)
    passes(membership, 0.0, 1.0)
    membership.look(101.0)
    assert incarnations(membership, 101.0) == ["a"]
    assert listing(membership, 101.0).gateways == {"g": ("tcp://g:1",)}
    assert not membership.complete(101.0)
    assert membership.complete(101.0 + SETTLING_S)
    passes(membership, 101.0, 101.0 + LIFETIME_S)
    assert incarnations(membership, 101.0 + LIFETIME_S) == [], "it has had its whole lifetime in which to report"


def test_new_registry_is_complete_once_everyone_had_time_to_report() -> None:
    membership = Membership("r", 5.0)
    assert not membership.complete(5.0 + SETTLING_S - 0.1)
    assert membership.complete(5.0 + SETTLING_S)


def test_news_are_loads_alone_where_only_loads_change_and_nothing_where_nothing_does() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    membership.take(report("b"), 0.0)
    assert isinstance(membership.news(0.0), Listing)
    membership.take(report("a"), 0.1)
    assert membership.news(0.1) is None
    membership.take(report("a", running=3), 0.2)
    assert membership.changed
    assert membership.news(0.2) == Loads("r", {"a": EngineLoad(3)})
    assert not membership.changed
    assert membership.news(0.3) is None
    assert isinstance(membership.news(IDLE_PERIOD_S), Listing), "whoever missed a message has all of it again"


def test_changed_info_is_listed_again() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    membership.news(0.0)
    changed = ReplicaReport(replace(report("a").info, cache_reports="tcp://127.0.0.1:1#00"), EngineLoad())
    membership.take(changed, 0.1)
    news = membership.news(0.1)
    assert isinstance(news, Listing)
    assert news.replicas == (changed,)


def test_loads_of_a_replica_that_departs_are_not_published() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    membership.news(0.0)
    membership.take(report("a", running=1), 0.1)
    membership.take(Withdrawal("a"), 0.1)
    assert membership.news(0.1) == Listing("r", (), {}, ("a",))


def test_gateways_and_what_they_tell_are_known_while_they_report() -> None:
    membership = Membership("r", 0.0)
    membership.take(gateway("one", waiting=2), 0.0)
    membership.take(gateway("two", waiting=3), 0.0)
    assert sorted(door["waiting"] for door in membership.doors()) == [2, 3]
    passes(membership, 0.0, 5.0)
    membership.take(gateway("two", waiting=4), 5.0)
    passes(membership, 5.0, LIFETIME_S + 1)
    assert [door["waiting"] for door in membership.doors()] == [4]
    assert listing(membership, LIFETIME_S + 1).gateways == {"two": ("tcp://two:1",)}


def test_doors_alone_are_no_news() -> None:
    membership = Membership("r", 0.0)
    membership.take(gateway("one", waiting=2), 0.0)
    membership.news(0.0)
    membership.take(gateway("one", waiting=3), 0.1)
    assert not membership.changed


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_REPLICAS", "MOST_GATEWAYS", "MOST_DEPARTED"):
        monkeypatch.setattr(module, name, 3)
    membership = Membership("r", 0.0)
    assert [membership.take(report(f"{n}"), 0.0) for n in range(5)] == [True] * 3 + [False] * 2
    assert [membership.take(gateway(f"{n}"), 0.0) for n in range(5)] == [True] * 3 + [False] * 2
    assert membership.take(report("0", running=1), 0.0), "those that are there go on"
    for n in range(100):
        membership.take(Withdrawal(f"w{n}"), 0.0)
    assert listing(membership, 0.0).departed == ("w97", "w98", "w99")


def test_loads_are_those_of_the_last_reports() -> None:
    membership = Membership("r", 0.0)
    membership.take(report("a"), 0.0)
    membership.take(report("a", running=2), 0.1)
    assert membership.loads() == [(report("a").info, EngineLoad(2))]
