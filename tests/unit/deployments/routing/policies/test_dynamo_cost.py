from __future__ import annotations

from collections import Counter

from deployments.routing import Request
from tests.support.routers import WORD_TOKENS, add, end, hold, placed, placed_on, request, router_of, terms

BLOCKS = WORD_TOKENS / 16
"""Of one word."""


def test_the_cost_is_that_of_the_formula() -> None:
    router = router_of("dynamo-cost", "a", "b")
    hold(router, "b", 1, 2)
    placed_on(router, "b", request(router, 1, 2, 3, 4, 5))
    decoding = placed_on(router, "a", request(router, 6, 7))
    router.first_token(decoding, 1.5)
    told = terms(placed(router, request(router, 1, 2, 8), 1.6))
    assert told["a"] == {"prefill_blocks": 3 * BLOCKS, "decode_blocks": (2 + 3) * BLOCKS, "cost_blocks": 8 * BLOCKS}
    # Three uncached words wait there; of this one's three words it has two.
    assert told["b"] == {
        "prefill_blocks": (3 + 1) * BLOCKS,
        "decode_blocks": (5 + 3) * BLOCKS,
        "cost_blocks": 12 * BLOCKS,
    }


def test_overlap_counts_block_by_block_against_the_load() -> None:
    router = router_of("dynamo-cost", "a", "b")
    hold(router, "b", 1, 2, 3, 4)
    held = request(router, 1, 2, 3, 4, 5)
    assert placed(router, held).replica.name == "b", "one word there against five"
    # Its prefill is done: what counts against the four words of credit are the blocks that it decodes.
    busy = [placed_on(router, "b", request(router, 5, n)) for n in (6, 7)]
    for booking in busy:
        router.first_token(booking, 1.1)
    assert placed(router, held, 1.2).replica.name == "a"
    end(router, *busy)


def test_it_does_not_know_which_replica_is_slow() -> None:
    router = router_of("dynamo-cost", "fast")
    add(router, "slow", slower=5.0)
    assert Counter(placed(router, Request(tokens=1600)).replica.name for _ in range(40)) == {"fast": 20, "slow": 20}


def test_equal_ones_go_by_chance() -> None:
    router = router_of("dynamo-cost", "a", "b")
    counts: Counter[str] = Counter()
    for _ in range(200):
        booking = placed(router, Request(tokens=160))
        counts[booking.replica.name] += 1
        end(router, booking)
    assert min(counts.values()) > 60
