from __future__ import annotations

from collections import Counter

from deployments.routing import Request
from tests.support.routers import add, end, placed, placed_on, router_of, terms


def test_the_fewest_requests_decide_and_not_their_size() -> None:
    router = router_of("least-outstanding", "a", "b")
    for _ in range(3):
        placed_on(router, "a", Request(tokens=1))
    huge = [placed_on(router, "b", Request(tokens=100_000)) for _ in range(2)]
    booking = placed(router, Request(tokens=10))
    assert booking.replica.name == "b"
    assert terms(booking) == {"a": {"open_requests": 3.0}, "b": {"open_requests": 2.0}}
    end(router, booking, *huge)
    assert placed(router, Request(tokens=10)).replica.name == "b"


def test_a_slow_replica_gets_as_many_as_a_fast_one() -> None:
    router = router_of("least-outstanding", "fast")
    add(router, "slow", slower=5.0)
    assert Counter(placed(router, Request(tokens=1000)).replica.name for _ in range(60)) == {"fast": 30, "slow": 30}


def test_equal_ones_go_by_chance() -> None:
    router = router_of("least-outstanding", *"abc")
    counts: Counter[str] = Counter()
    for _ in range(300):
        booking = placed(router, Request(tokens=1))
        counts[booking.replica.name] += 1
        end(router, booking)
    assert min(counts[name] for name in "abc") > 60


def test_what_other_gateways_have_open_counts() -> None:
    one, two = router_of("least-outstanding", "a", "b"), router_of("least-outstanding", "a", "b")
    for _ in range(5):
        placed_on(one, "a", Request(tokens=1))
    two.set_others("one", one.open_bookings())
    assert {placed(two, Request(tokens=1)).replica.name for _ in range(5)} == {"b"}
