from __future__ import annotations

from deployments.routing import Request
from tests.support.routers import add, end, placed, router_of


def test_it_takes_turns_by_name_whatever_the_load() -> None:
    router = router_of("round-robin", "c", "a", "b")
    assert [placed(router, Request(tokens=10**n)).replica.name for n in range(5)] == ["a", "b", "c", "a", "b"]


def test_a_replica_that_is_full_loses_only_its_turn() -> None:
    router = router_of("round-robin", "a", "b", "c", limit=1)
    first = placed(router, Request(tokens=1))
    assert first.replica.name == "a"
    assert placed(router, Request(tokens=1), excluded=["b"]).replica.name == "c"
    end(router, first)
    assert placed(router, Request(tokens=1)).replica.name == "a"


def test_a_newcomer_takes_its_turn_by_name() -> None:
    router = router_of("round-robin", "a", "c")
    assert placed(router, Request(tokens=1)).replica.name == "a"
    add(router, "b")
    assert [placed(router, Request(tokens=1)).replica.name for _ in range(3)] == ["b", "c", "a"]
