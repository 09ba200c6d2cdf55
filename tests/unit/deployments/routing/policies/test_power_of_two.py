from __future__ import annotations

from collections import Counter
from itertools import combinations

from deployments.routing import Request
from tests.support.routers import end, placed, placed_on, router_of, terms


def test_of_two_it_is_least_outstanding() -> None:
    router = router_of("power-of-two", "a", "b")
    assert Counter(placed(router, Request(tokens=1)).replica.name for _ in range(40)) == {"a": 20, "b": 20}


def test_the_chosen_one_is_the_emptier_of_the_two_that_were_drawn() -> None:
    router = router_of("power-of-two", *"abcdef")
    pairs: Counter[frozenset[str]] = Counter()
    for _ in range(400):
        booking = placed(router, Request(tokens=1))
        told = terms(booking)
        drawn = {name: one["open_requests"] for name, one in told.items() if one["drawn"]}
        assert len(drawn) == 2
        assert drawn[booking.replica.name] == min(drawn.values())
        pairs[frozenset(drawn)] += 1
    assert set(pairs) == {frozenset(pair) for pair in combinations("abcdef", 2)}, "any two of them"


def test_the_busiest_of_all_is_never_chosen() -> None:
    router = router_of("power-of-two", *"abcd")
    for _ in range(100):
        placed_on(router, "c", Request(tokens=1))
    assert {placed(router, Request(tokens=1)).replica.name for _ in range(60)} == {"a", "b", "d"}


def test_equal_ones_go_by_chance() -> None:
    router = router_of("power-of-two", "a", "b")
    counts: Counter[str] = Counter()
    for _ in range(200):
        booking = placed(router, Request(tokens=1))
        counts[booking.replica.name] += 1
        end(router, booking)
    assert min(counts.values()) > 60
