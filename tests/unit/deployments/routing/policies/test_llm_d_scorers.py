from __future__ import annotations

from collections import Counter

import pytest

from deployments.routing import Request
from tests.support.routers import end, hold, placed, placed_on, request, router_of, terms


def test_the_score_is_weighted_three_two_two() -> None:
    router = router_of("llm-d-scorers", *"abc")
    hold(router, "b", 1, 2)
    for name, queued, kv_use in (("a", 0, 0.5), ("b", 4, 0.8), ("c", 1, 0.0)):
        router.report(router.replicas[name], 10, queued, kv_use)
    booking = placed(router, request(router, 1, 2, 3, 4))
    told = terms(booking)
    assert told["a"] == pytest.approx({"prefix": 0.0, "queue": 1.0, "kv": 0.5, "score": 3.0})
    assert told["b"] == pytest.approx({"prefix": 0.5, "queue": 0.0, "kv": 0.2, "score": 1.9})
    assert told["c"] == pytest.approx({"prefix": 0.0, "queue": 0.75, "kv": 1.0, "score": 3.5})
    assert booking.replica.name == "c"


def test_one_request_in_a_queue_weighs_as_much_as_a_hundred() -> None:
    for queued in (1, 100):
        router = router_of("llm-d-scorers", "a", "b")
        router.report(router.replicas["a"], 0, queued, 0.0)
        assert terms(placed(router, Request(tokens=10)))["a"]["queue"] == 0.0


def test_equal_queues_are_no_reason() -> None:
    router = router_of("llm-d-scorers", "a", "b")
    for name in "ab":
        router.report(router.replicas[name], 0, 7, 0.0)
    assert {one["queue"] for one in terms(placed(router, Request(tokens=10))).values()} == {1.0}


def test_a_whole_prefix_outweighs_either_load_but_not_both() -> None:
    router = router_of("llm-d-scorers", "a", "b")
    hold(router, "b", *range(1, 101))
    asked = request(router, *range(1, 101))
    router.report(router.replicas["b"], 0, 9, 0.0)
    assert placed(router, asked).replica.name == "b"
    router.report(router.replicas["b"], 0, 9, 0.6)
    assert placed(router, asked).replica.name == "a"


def test_it_herds_between_two_reports_as_the_engines_word_is_all_it_goes_by() -> None:
    router = router_of("llm-d-scorers", "a", "b")
    router.report(router.replicas["b"], 0, 0, 0.01)
    assert Counter(placed(router, Request(tokens=1000)).replica.name for _ in range(20)) == {"a": 20}
    router.report(router.replicas["a"], 20, 15, 0.4)
    assert placed(router, Request(tokens=1000)).replica.name == "b"


def test_equal_ones_go_by_chance() -> None:
    router = router_of("llm-d-scorers", "a", "b")
    counts: Counter[str] = Counter()
    for _ in range(200):
        booking = placed(router, Request(tokens=160))
        counts[booking.replica.name] += 1
        end(router, booking)
    assert min(counts.values()) > 60
    placed_on(router, "a", Request(tokens=160))
