"""What a follower knows: it stays until it is contradicted, or until a probe fails."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deployments.engine.backend import EngineLoad
from deployments.registry.known_fleet import FAILED_PROBES, PEER_KEPT_S, PROBE_AFTER_S, PROBE_PERIOD_S, KnownFleet
from deployments.registry.messages import Listing, Loads, ReplicaReport
from tests.support.processes import fake_pool, replica_info

INFO = replica_info("http://127.0.0.1:1", fake_pool())


def report(incarnation: str, replica: str = "", running: int = 0) -> ReplicaReport:
    return ReplicaReport(replace(INFO, incarnation=incarnation, replica=replica or incarnation), EngineLoad(running))


def listing(registry: str, *incarnations: str, departed: tuple[str, ...] = (), **gateways: str) -> Listing:
    endpoints = {name: (endpoint,) for name, endpoint in gateways.items()}
    return Listing(registry, tuple(report(each) for each in incarnations), endpoints, departed)


def following(*news: Listing) -> KnownFleet:
    known = KnownFleet()
    for each in news:
        known.follow(each.registry)
        known.take(each, 0.0)
    return known


def incarnations(known: KnownFleet) -> list[str]:
    return [info.incarnation for info in known.infos()]


def test_empty_list_of_a_new_registry_takes_nothing_away() -> None:
    known = following(listing("one", "a", "b", g="tcp://g:1"), listing("two"))
    assert incarnations(known) == ["a", "b"]
    assert known.endpoints() == ["tcp://g:1"]


def test_registry_takes_away_what_it_listed_before_and_lists_no_more() -> None:
    known = following(listing("one", "a", "b"), listing("two", "a"))
    assert known.take(listing("two"), 1.0)
    assert incarnations(known) == ["b"], "of b the second one has never heard"


def test_departed_replicas_go_whoever_listed_them() -> None:
    known = following(listing("one", "a", "b"), listing("two", departed=("a",)))
    assert incarnations(known) == ["b"]


def test_new_incarnation_takes_the_place_of_the_old_one_of_the_same_replica() -> None:
    known = KnownFleet()
    known.follow("one")
    known.take(Listing("one", (report("old", replica="m@a#1"), report("other", replica="m@a#2")), {}, ()), 0.0)
    known.follow("two")
    known.take(Listing("two", (report("new", replica="m@a#1"),), {}, ()), 1.0)
    assert incarnations(known) == ["other", "new"]


def test_news_of_a_registry_that_is_not_followed_do_not_count() -> None:
    known = following(listing("one", "a"))
    assert not known.take(listing("two", "b", departed=("a",)), 1.0)
    assert not known.take(Loads("two", {"a": EngineLoad(5)}), 1.0)
    assert known.loads() == {"a": EngineLoad()}


def test_loads_change_those_that_are_known_alone() -> None:
    known = following(listing("one", "a"))
    assert known.take(Loads("one", {"a": EngineLoad(2), "unknown": EngineLoad(3)}), 1.0)
    assert known.loads() == {"a": EngineLoad(2)}
    assert not known.take(Loads("one", {"a": EngineLoad(2)}), 2.0)


def test_same_list_again_is_no_change() -> None:
    known = following(listing("one", "a", g="tcp://g:1"))
    assert not known.take(listing("one", "a", g="tcp://g:1"), 1.0)
    assert known.take(listing("one", "a", g="tcp://g:2"), 2.0)


def test_replicas_are_probed_once_no_registry_confirms_them() -> None:
    known = following(listing("one", "a", "b"), listing("two"))
    known.take(listing("two", "b"), PROBE_AFTER_S)
    assert known.unconfirmed(PROBE_AFTER_S - 1) == []
    due = known.unconfirmed(PROBE_AFTER_S + 1)
    assert [info.incarnation for info in due] == ["a"]
    assert known.unconfirmed(PROBE_AFTER_S + 2) == [], "not without end"
    assert known.unconfirmed(PROBE_AFTER_S + 1 + PROBE_PERIOD_S) == due


def test_failed_probes_take_a_replica_away_and_an_answer_forgives_them() -> None:
    known = following(listing("one", "a"))
    for _ in range(FAILED_PROBES - 1):
        assert not known.take_probe("a", alive=False)
    assert not known.take_probe("a", alive=True)
    for _ in range(FAILED_PROBES - 1):
        assert not known.take_probe("a", alive=False)
    assert known.take_probe("a", alive=False)
    assert incarnations(known) == []
    assert not known.take_probe("a", alive=False)


def test_silence_of_the_registry_alone_takes_nothing_away() -> None:
    known = following(listing("one", "a"))
    for second in range(1_000):
        for info in known.unconfirmed(float(second)):
            known.take_probe(info.incarnation, alive=True)
    assert incarnations(known) == ["a"]


def test_gateways_that_a_new_registry_does_not_list_stay_for_a_while() -> None:
    known = following(listing("one", g="tcp://g:1", h="tcp://h:1"), listing("two"))
    known.take(listing("two", h="tcp://h:1"), PEER_KEPT_S - 1)
    assert known.endpoints() == ["tcp://g:1", "tcp://h:1"]
    known.take(listing("two", h="tcp://h:1"), PEER_KEPT_S + 1)
    assert known.endpoints() == ["tcp://h:1"]
    known.take(listing("two"), PEER_KEPT_S + 2)
    assert known.endpoints() == [], "it was listed, and is no more"


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.frozensets(st.sampled_from("abcdef")))))
def test_no_replica_goes_that_no_registry_has_contradicted(history: list[tuple[str, frozenset[str]]]) -> None:
    known, expected, listed_by = KnownFleet(), set[str](), dict[str, str]()
    for now, (registry, listed) in enumerate(history):
        known.follow(registry)
        known.take(listing(registry, *sorted(listed)), float(now))
        expected = {each for each in expected if each in listed or listed_by[each] != registry} | listed
        listed_by.update(dict.fromkeys(listed, registry))
        assert set(incarnations(known)) == expected
