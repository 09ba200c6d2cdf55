from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deployments.kv_cache.events import Cleared, Removed, Stored
from deployments.routing.index import PrefixIndex
from deployments.routing.keys import KEY_TOKENS
from deployments.routing.prompt import Prompt
from tests.support.block_index import BlockIndex

EIGHT = tuple(range(50, 58))


def tokens_of(*words: int) -> list[int]:
    """The tokens of one key for each word."""
    return [word for word in words for _ in range(KEY_TOKENS)]


def stored(names: list[Any], words: list[int], parent: Any = None, block: int = KEY_TOKENS, salt: str = "") -> Stored:
    return Stored(names, parent, tokens_of(*words), block, salt)


def found(index: PrefixIndex, *words: int, salt: str = "") -> dict[int, int]:
    """Replica -> how many leading keys of the prompt of these words it holds."""
    keys = index.prompt_keys(Prompt(tokens_of(*words)), salt)
    counts: dict[int, int] = {}
    for bits, count in index.matches(keys):
        counts |= {r: max(count, counts.get(r, 0)) for r in range(64) if bits >> r & 1}
    return counts


def index_of(*replicas: int) -> BlockIndex:
    index = BlockIndex("m")
    for replica in replicas:
        index.add(replica)
    return index


def test_what_is_stored_is_found_as_far_as_it_goes() -> None:
    index = index_of(0, 1, 2)
    index.apply(0, stored(["a", "b", "c"], [1, 2, 3]))
    index.apply(1, stored(["a"], [1]))
    assert found(index, 1, 2, 3, 4) == {0: 3, 1: 1}
    assert found(index, 1, 9) == {0: 1, 1: 1}
    assert found(index, 2, 3) == {}
    assert found(index) == {}


def test_blocks_continue_their_parents() -> None:
    index = index_of(0)
    index.apply(0, stored([1, 2], [1, 2]))
    index.apply(0, stored([3], [3], parent=2))
    index.apply(0, stored([4], [4], parent=1))
    assert found(index, 1, 2, 3) == {0: 3}
    assert found(index, 1, 4) == {0: 2}


def test_a_block_without_its_parent_is_not_claimed() -> None:
    index = index_of(0)
    index.apply(0, stored([3], [3], parent="lost"))
    assert (found(index, 3), index.keys, index.blocks(0)) == ({}, 0, 0)


def test_block_sizes_may_differ() -> None:
    index = index_of(0, 1, 2)
    index.apply(0, stored([1], [1, 2], block=128))
    index.apply(1, stored([*range(8)], [1, 2], block=16))
    index.apply(2, Stored([5, 6], None, tokens_of(1, 2)[:96], 48))
    assert found(index, 1, 2) == {0: 2, 1: 2, 2: 1}
    index.apply(0, Removed([1]))
    index.apply(1, Removed([7]))
    assert found(index, 1, 2) == {1: 1, 2: 1}
    index.apply(2, Removed([6]))
    assert found(index, 1, 2) == {1: 1}, "its tokens end in the block that is gone"


def test_removals_take_back_one_copy_each() -> None:
    index = index_of(0)
    index.apply(0, stored([1], [1]))
    index.apply(0, stored([1], [1]))
    index.apply(0, stored([1], [1]))
    for left in ({0: 1}, {0: 1}, {}):
        index.apply(0, Removed([1]))
        assert found(index, 1) == left
    index.apply(0, Removed([1, "never heard of"]))
    assert index.keys == 0


def test_salts_are_worlds_of_their_own() -> None:
    index = index_of(0)
    index.apply(0, stored([1], [1], salt="s"))
    assert found(index, 1) == {}
    assert found(index, 1, salt="s") == {0: 1}


def test_clearing_forgets_one_replica() -> None:
    index = index_of(0, 1)
    for replica in (0, 1):
        index.apply(replica, stored([1, 2], [1, 2]))
        index.expect(replica, index.prompt_keys(Prompt(tokens_of(*EIGHT))), 0, until=10)
    index.apply(0, Cleared())
    assert found(index, 1, 2) == {1: 2}
    assert found(index, *EIGHT) == {1: 8}
    index.drop(1)
    index.add(1)
    assert found(index, 1, 2) == {} == found(index, *EIGHT)


def test_expectations_reach_to_the_last_even_key_and_end() -> None:
    index = index_of(0, 1, 2)
    index.apply(0, stored([1], [1]))
    index.apply(2, stored(list(range(19)), [1, *range(2, 20)]))
    words = [1, *range(2, 22)]
    keys = index.prompt_keys(Prompt(tokens_of(*words)))
    index.expect(0, keys, 1, until=5.0)
    assert found(index, *words) == {0: 20, 2: 19}, "nothing is hoped for beyond the last second key"
    index.expect(2, keys, 19, until=5.5)
    assert found(index, *words) == {0: 20, 2: 20}
    assert found(index, *words[:11], 99) == {0: 10, 2: 11}
    index.expire(4.9)
    assert found(index, *words) == {0: 20, 2: 20}
    index.expire(5.0)
    assert found(index, *words) == {0: 1, 2: 20}
    index.expire(5.5)
    assert found(index, *words) == {0: 1, 2: 19}


def test_memory_is_bounded_by_the_replicas_own_cache() -> None:
    index = BlockIndex("m")
    index.add(0, most_blocks=10)
    for name in range(100):
        index.apply(0, stored([name], [name]))
    assert (index.blocks(0), index.keys) == (10, 10)
    assert found(index, 99) == {0: 1}
    assert index.size_bytes() > 0


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 80)), max_size=6), st.integers(1, 80))
def test_lookups_are_right_however_far_holders_reach(holdings: list[tuple[int, int]], length: int) -> None:
    words = list(range(1000, 1000 + length))
    index = index_of(*range(71))
    held: dict[int, int] = {}
    for replica, count in holdings:
        count = min(count, length)
        if count and replica not in held:
            index.apply(replica, stored(words[:count], words[:count]))
            held[replica] = count
    keys = index.prompt_keys(Prompt(tokens_of(*words)))
    seen = [(r, count) for bits, count in index.matches(keys) for r in range(71) if bits >> r & 1]
    assert dict(seen) == held
    assert len(seen) == len(held)


class AgainstSets(RuleBasedStateMachine):
    """The index beside the plainest thing that could be right: a set of prefixes for each replica."""

    def __init__(self) -> None:
        super().__init__()
        self.index = index_of(0, 1)
        self.held: dict[int, dict[tuple[int, ...], int]] = {0: {}, 1: {}}

    @rule(replica=st.integers(0, 1), words=st.lists(st.integers(1, 3), min_size=1, max_size=4), known=st.integers(0, 3))
    def store(self, replica: int, words: list[int], known: int) -> None:
        prefixes = [tuple(words[: n + 1]) for n in range(len(words))]
        known = min(known, len(words) - 1)
        parent = prefixes[known - 1] if known else None
        self.index.apply(replica, stored(list(prefixes[known:]), words[known:], parent))
        held = self.held[replica]
        if parent is None or parent in held:
            for prefix in prefixes[known:]:
                held[prefix] = held.get(prefix, 0) + 1

    @rule(replica=st.integers(0, 1), words=st.lists(st.integers(1, 3), min_size=1, max_size=4))
    def remove(self, replica: int, words: list[int]) -> None:
        self.index.apply(replica, Removed([tuple(words)]))
        held = self.held[replica]
        if tuple(words) in held:
            held[tuple(words)] -= 1
            if not held[tuple(words)]:
                del held[tuple(words)]

    @rule(replica=st.integers(0, 1))
    def clear(self, replica: int) -> None:
        self.index.apply(replica, Cleared())
        self.held[replica].clear()

    @invariant()
    def claims_are_what_is_held(self) -> None:
        prefixes = set(self.held[0]) | set(self.held[1])
        assert self.index.keys == len(prefixes)
        for words in prefixes:
            key = self.index.prompt_keys(Prompt(tokens_of(*words)))[-1]
            holders = self.index.matches([key])
            bits = sum(1 << replica for replica in (0, 1) if words in self.held[replica])
            assert holders == [(bits, 1)]


TestAgainstSets = AgainstSets.TestCase
