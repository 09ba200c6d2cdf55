from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from deployments.routing import Request, Router
from deployments.routing.policies.sglang_cache_aware import NODES, SglangCacheAware
from tests.support.routers import add, end, hold, placed, placed_on, request, router_of, terms


def test_more_than_half_of_a_prompt_in_the_tree_decides_whatever_engines_hold() -> None:
    router = router_of("sglang-cache-aware", *"abc")
    end(router, placed_on(router, "b", request(router, 1, 2, 3)))
    hold(router, "c", 1, 2, 3, 4, 5)
    first, second = (placed(router, request(router, 1, 2, 3, 4, 5)) for _ in range(2))
    assert first.replica.name == second.replica.name == "b"
    assert 0.55 < terms(first)["b"]["match"] <= 0.6
    assert 0.93 < terms(second)["b"]["match"] <= 1.0


def test_half_of_a_prompt_is_not_enough() -> None:
    router = router_of("sglang-cache-aware", *"abc")
    placed_on(router, "b", request(router, 1, 2))
    booking = placed(router, request(router, 1, 2, 3, 4))
    assert terms(booking)["b"]["match"] <= 0.5
    assert booking.replica.name == "a", "the emptiest, of equal ones the first by name"


def test_load_does_not_matter_until_the_imbalance_is_33_and_a_tenth() -> None:
    router = router_of("sglang-cache-aware", "a", "b")
    asked = request(router, 1, 2, 3)
    placed_on(router, "b", asked)
    for _ in range(32):
        assert placed(router, asked).replica.name == "b"
    assert placed(router, asked).replica.name == "a", "33 against none"
    assert placed(router, asked).replica.name == "b", "33 against one"


def test_a_relative_imbalance_of_a_tenth_is_needed_too() -> None:
    router = router_of("sglang-cache-aware", "a", "b", limit=10_000)
    asked = request(router, 1, 2, 3)
    for _ in range(400):
        placed_on(router, "a", Request(tokens=1))
    placed_on(router, "b", asked)
    for _ in range(439):
        placed_on(router, "b", Request(tokens=1))
    assert placed(router, asked).replica.name == "b", "440 = 1.1 x 400"
    assert placed(router, asked).replica.name == "a", "441 > 1.1 x 400"


def test_what_is_sent_elsewhere_for_balance_enters_the_tree_but_takes_no_prefix_over() -> None:
    router = router_of("sglang-cache-aware", "a", "b")
    shared, longer = request(router, 1, 2, 3), request(router, 1, 2, 3, 4, 5, 6, 7)
    opened = [placed_on(router, "b", shared) for _ in range(40)]
    assert placed(router, longer).replica.name == "a"
    end(router, *opened)
    assert placed(router, longer).replica.name == "a"
    assert placed(router, shared).replica.name == "b"


def test_new_prompts_spread_by_load() -> None:
    router = router_of("sglang-cache-aware", *"abcd")
    assert Counter(placed(router, request(router, n)).replica.name for n in range(40)) == dict.fromkeys("abcd", 10)


def test_a_replica_that_is_away_for_a_while_keeps_its_prefixes() -> None:
    router = router_of("sglang-cache-aware", *"abc")
    asked = request(router, 1, 2, 3)
    end(router, placed_on(router, "c", asked))
    router.eject(router.replicas["c"], 5.0)
    assert placed(router, asked, 4.0).replica.name == "a"
    assert placed(router, asked, 5.0).replica.name == "c"


@pytest.mark.parametrize("leaving", [True, False])
def test_the_prefixes_of_a_replica_that_has_left_pass_to_another(leaving: bool) -> None:
    router = router_of("sglang-cache-aware", *"abc")
    asked = request(router, 1, 2, 3)
    booking = placed_on(router, "c", asked)
    router.remove("c")
    if not leaving:
        end(router, booking)
    placed_on(router, "a", Request(tokens=1))
    for _ in range(3):
        assert placed(router, asked).replica.name == "b"
    add(router, "c")
    assert placed(router, asked).replica.name == "b"


def ten_keys(router: Router, *words: int) -> Request:
    """A prompt of ten keys for each word."""
    return request(router, *(word for word in words for _ in range(4)))


def test_the_end_of_a_prompt_is_forgotten_before_its_beginning() -> None:
    router = router_of(SglangCacheAware(most_nodes=35), "a", "b")
    placed_on(router, "b", ten_keys(router, 1, 2, 3))
    placed_on(router, "a", ten_keys(router, 4))
    booking = placed(router, ten_keys(router, 1, 2, 3))
    assert terms(booking)["b"]["match"] == 25 / 30, "five nodes had to go"


def test_the_tree_is_bounded_and_what_is_shared_stays() -> None:
    policy = SglangCacheAware(most_nodes=60)
    router = router_of(policy, *"abcd")
    for n in range(50):
        end(router, placed(router, ten_keys(router, 1, 2, 100 + n)))
        assert len(policy) <= 60
    newest, oldest = (
        max(one["match"] for one in terms(placed(router, ten_keys(router, 1, 2, word))).values()) for word in (149, 100)
    )
    assert oldest < newest
    assert 0.6 < oldest < 0.7, "what they all share was used to the last"


def test_the_distance_of_nodes_is_at_most_a_sixteenth_of_their_depth() -> None:
    assert NODES[:33] == tuple(range(33))
    assert all(0 < after - before <= max(1, before / 16) for before, after in pairwise(NODES))
    assert NODES[-1] >= 2**24
