from __future__ import annotations

from collections import Counter

from deployments.routing import Request
from tests.support.routers import end, hold, placed, placed_on, request, router_of, terms


def test_the_score_is_the_product_of_new_tokens_and_batch() -> None:
    router = router_of("lmetric", "a", "b")
    hold(router, "b", 1, 2)
    placed_on(router, "b", request(router, 1, 2, 3))
    for n in (4, 5):
        router.first_token(placed_on(router, "a", request(router, n)), 1.5)
    told = terms(placed(router, request(router, 1, 2, 6), 1.6))
    assert told["a"] == {"new_tokens": 480.0, "batch": 3.0, "score": 1440.0}
    assert told["b"] == {"new_tokens": 160.0 + 160.0, "batch": 2.0, "score": 640.0}


def test_a_prefix_outweighs_a_batch_by_the_ratio_of_new_tokens() -> None:
    router = router_of("lmetric", "a", "b")
    hold(router, "b", 1, 2, 3)
    asked = request(router, 1, 2, 3, 4)
    for _ in range(2):
        # They decode: no tokens wait.
        router.first_token(placed_on(router, "b", request(router, 5)), 1.0)
    assert placed(router, asked).replica.name == "b", "160 x 3 < 640 x 1"
    router = router_of("lmetric", "a", "b")
    hold(router, "b", 1, 2, 3)
    for n in range(5, 9):
        router.first_token(placed_on(router, "b", request(router, n)), 1.0)
    assert placed(router, asked).replica.name == "a", "160 x 5 > 640 x 1"


def test_where_the_product_says_nothing_the_batch_decides() -> None:
    router = router_of("lmetric", *"abc")
    counts = Counter(placed(router, Request(audio_s=5.0)).replica.name for _ in range(30))
    assert counts == {"a": 10, "b": 10, "c": 10}


def test_equal_scores_go_by_chance() -> None:
    router = router_of("lmetric", "a", "b")
    counts: Counter[str] = Counter()
    for _ in range(200):
        booking = placed(router, Request(tokens=160))
        counts[booking.replica.name] += 1
        end(router, booking)
    assert min(counts.values()) > 60
