from __future__ import annotations

import math
import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.routing import Booking, Request
from deployments.routing.policies.bounded_hash import LOAD_FACTOR
from tests.support.routers import end, placed, request, router_of, terms


def test_a_beginning_is_at_home_on_one_replica_of_an_idle_fleet() -> None:
    router = router_of("bounded-hash", *"abcdef")
    homes: dict[int, set[str]] = {}
    for n in range(60):
        booking = placed(router, request(router, n % 20, n))
        homes.setdefault(n % 20, set()).add(booking.replica.name)
        end(router, booking)
    assert {len(home) for home in homes.values()} == {1}
    assert len(set.union(*homes.values())) > 2


def test_a_hot_beginning_spills_over_at_the_bound() -> None:
    router = router_of("bounded-hash", *"abcd")
    counts = Counter(placed(router, request(router, 1, n)).replica.name for n in range(100))
    assert max(counts.values()) <= math.ceil(LOAD_FACTOR * 101 / 4)
    assert len(counts) == 4
    assert max(counts.values()) > 100 / 4, "but no further"


def test_it_spills_in_an_order_of_its_own_and_returns() -> None:
    router = router_of("bounded-hash", *"abcd")
    first = [placed(router, request(router, 1)) for _ in range(20)]
    end(router, *first)
    again = [placed(router, request(router, 1)) for _ in range(20)]
    assert [b.replica.name for b in first] == [b.replica.name for b in again]


def test_with_fewer_requests_than_replicas_nothing_is_within_the_bound_and_all_stay_at_home() -> None:
    router = router_of("bounded-hash", *"abcdefgh")
    assert len({placed(router, request(router, 1, n)).replica.name for n in range(5)}) == 1


def test_with_nothing_to_hash_the_emptiest_gets_it() -> None:
    router = router_of("bounded-hash", *"abc")
    counts = Counter(placed(router, Request(audio_s=1.0)).replica.name for _ in range(30))
    assert counts == {"a": 10, "b": 10, "c": 10}


@settings(max_examples=10)
@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_no_choice_but_home_is_beyond_the_bound(replicas: int, chance: random.Random) -> None:
    router = router_of("bounded-hash", *(f"r{n}" for n in range(replicas)))
    requests = [request(router, word) for word in range(9)]
    opened: list[Booking] = []
    for turn in range(80):
        if opened and chance.random() < 0.3:
            end(router, opened.pop(chance.randrange(len(opened))), now=float(turn))
        booking = placed(router, requests[min(chance.randrange(9), chance.randrange(9))], float(turn))
        told = terms(booking)
        own = told[booking.replica.name]
        home = max(told, key=lambda name: told[name]["weight"])
        total = sum(one["open_requests"] for one in told.values())
        assert total == len(opened)
        assert own["bound"] == LOAD_FACTOR * (total + 1) / replicas
        assert own["open_requests"] + 1 <= own["bound"] or booking.replica.name == home
        opened.append(booking)
