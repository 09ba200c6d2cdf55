from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.cache_change import CacheChange
from deployments.routing.index import PrefixIndex
from deployments.routing.lost import MOST_GHOSTS, MOST_SEEN, SAMPLED_TOKENS, LostPrefixes

KEY_TOKENS = 16
SAMPLED = SAMPLED_TOKENS // KEY_TOKENS
PROMPT = list(range(1, 1 + 4 * SAMPLED))


def given_up(lost: LostPrefixes, prompts: int, claims: frozenset[int] = frozenset()) -> list[list[int]]:
    """So many prompts of four sampled keys each, asked for before that."""
    made = [[SAMPLED * 10_000 * number + key for key in PROMPT] for number in range(1, prompts + 1)]
    for prompt in made:
        lost.ask(prompt)
        lost.take(prompt, claims)
    return made


def test_nothing_is_said_before_something_was_lost() -> None:
    assert LostPrefixes(KEY_TOKENS).asked_again == 0


def test_the_share_is_of_what_was_asked_for_again() -> None:
    lost = LostPrefixes(KEY_TOKENS)
    prompts = given_up(lost, 20)
    for prompt in prompts[:5]:
        lost.ask(prompt)
        lost.ask(prompt)
    assert abs(lost.asked_again - 0.25) < 0.01, "and twice is once: it is there again"


def test_what_was_there_before_this_router_tells_nothing() -> None:
    lost = LostPrefixes(KEY_TOKENS)
    for number in range(100):
        lost.take([SAMPLED * 10**6 * number + key for key in PROMPT], frozenset())
    (prompt,) = given_up(lost, 1)
    lost.ask(prompt)
    assert lost.asked_again > 0.99


def test_what_another_replica_still_has_is_not_lost() -> None:
    lost = LostPrefixes(KEY_TOKENS)
    prompts = given_up(lost, 10, claims=frozenset(range(SAMPLED * 10**6)))
    for prompt in prompts:
        lost.ask(prompt)
    assert lost.asked_again == 0


def test_sampled_keys_are_the_same_whatever_the_blocks() -> None:
    """What is given up block by block is found by a prompt, which has no blocks."""
    for per_block in (1, 2, 8, 16, 64):
        lost = LostPrefixes(KEY_TOKENS)
        lost.ask(PROMPT)
        for first in range(0, len(PROMPT), per_block):
            lost.take(PROMPT[first : first + per_block], frozenset())
        lost.ask(PROMPT)
        assert lost.asked_again > 0.99, per_block


def test_memory_is_bounded() -> None:
    lost = LostPrefixes(KEY_TOKENS)
    given_up(lost, MOST_GHOSTS // 4 + 500)
    assert len(lost._ghosts) == MOST_GHOSTS
    assert len(lost._seen) == MOST_SEEN


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=120))
def test_the_share_is_a_share(events: list[tuple[bool, int]]) -> None:
    lost = LostPrefixes(KEY_TOKENS)
    for takes, number in events:
        keys = [1_000 * number + key for key in PROMPT]
        lost.take(keys, frozenset()) if takes else lost.ask(keys)
        assert 0 <= lost.asked_again <= 1


def test_a_cache_displaces_once_it_is_full() -> None:
    index = PrefixIndex("m")
    index.add(0, most_blocks=100)
    for block in range(100):
        index.change(0, CacheChange([4 * block + 1], stored_blocks=1))
        assert index.displaces(0) == 0
    for block in range(100, 400):
        index.change(0, CacheChange([4 * block + 1], [4 * block - 399], stored_blocks=1, removed_blocks=1))
    assert 0.9 < index.displaces(0) <= 1
    for block in range(400, 700):
        index.change(0, CacheChange([4 * (block % 40) + 1], stored_blocks=1))
    assert index.displaces(0) < 0.2, "what came again did not drive anything out"


def test_what_nobody_asked_for_makes_room_for_nothing() -> None:
    index = PrefixIndex("m", KEY_TOKENS)
    index.add(0, most_blocks=64)
    before = [[1_000_000 + 100 * number + key for key in range(SAMPLED)] for number in range(64)]
    ours = [[100 * number + key for key in range(SAMPLED)] for number in range(200)]
    held = list(before)
    for prompt in before:
        index.change(0, CacheChange(prompt, stored_blocks=1))
    told = []
    for prompt in ours:
        index.matches(prompt)
        index.change(0, CacheChange(prompt, held.pop(0), stored_blocks=1, removed_blocks=1))
        held.append(prompt)
        told.append(index.displaces(0))
    assert max(told[20:64]) < 0.05, "room is made of what was there before"
    assert min(told[90:]) > 0.8, "and then of our own prompts"


def test_groups_that_do_not_fit_everywhere_stay_where_they_are() -> None:
    """Two replicas that hold three of five groups each: a router that prices room sends each group to one of them."""
    from deployments.routing import Request, Router
    from deployments.routing.seeds import seed_of

    draw = random.Random(3)
    router = Router("m", seed=3, key_tokens=16)
    for name in ("a", "b"):
        router.add(name, name, "p", 64, seed_of(None), block_tokens=16, kv_tokens=3 * 64 * 16)
    held: dict[str, list[int]] = {"a": [], "b": []}
    groups = [[10_000 * group + key for key in range(1, 65)] for group in range(1, 6)]
    hits: list[bool] = []
    for number in range(400):
        now = number * 10.0
        group = draw.randrange(5)
        booking = router.place(Request(tokens=64 * 16 + 16, keys=groups[group]), now)
        assert booking is not None
        cache, row = held[booking.replica.name], booking.replica.row
        hits.append(group in cache)
        if group in cache:
            cache.remove(group)
        elif len(cache) == 3:
            router.index.change(row, CacheChange(removed=groups[cache.pop(0)], removed_blocks=64))
        if not hits[-1]:
            router.index.change(row, CacheChange(groups[group], stored_blocks=64))
        cache.append(group)
        router.report(booking.replica, 0, 0, 1.0)
        router.first_token(booking, now + 1)
        router.finish(booking, now + 2, 8)
    assert sum(hits[200:]) > 190
