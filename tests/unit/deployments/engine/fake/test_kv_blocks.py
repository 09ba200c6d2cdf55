from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.engine.fake.kv_blocks import (
    Allocation,
    BlockEvent,
    Cleared,
    KvBlocks,
    Removed,
    Stored,
    chain_keys,
)

SIZE = 2


def admitted(blocks: KvBlocks, token_ids: list[int]) -> Allocation:
    """Allocates a prompt and publishes its full blocks, as an engine does."""
    keys = chain_keys(token_ids, blocks.block_size)
    allocation = blocks.allocate(keys, len(token_ids))
    assert allocation is not None
    blocks.publish(allocation, keys[len(allocation.keys) :])
    return allocation


class LiveBlocks(RuleBasedStateMachine):
    """Random sequences over few blocks, beside a record of what each block truly holds."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[int] = set()
        self.blocks = KvBlocks(7, SIZE, on_event=self.follow)
        self.live: list[tuple[Allocation, list[int]]] = []
        self.content: dict[int, tuple[int, ...]] = {}

    def follow(self, event: BlockEvent) -> None:
        match event:
            case Stored(keys, parent):
                assert parent is None or parent not in keys
                self.told |= set(keys)
            case Removed(keys):
                assert self.told >= set(keys), "a block was removed that was never stored"
                self.told -= set(keys)
            case Cleared():
                self.told.clear()

    def wrote(self, allocation: Allocation, token_ids: list[int], first: int) -> None:
        for index in range(first, len(allocation.blocks)):
            self.content[allocation.blocks[index]] = tuple(token_ids[: (index + 1) * SIZE])

    @rule(token_ids=st.lists(st.integers(0, 1), min_size=1, max_size=12))
    def admit(self, token_ids: list[int]) -> None:
        keys = chain_keys(token_ids, SIZE)
        free_before, matched = self.blocks.count - self.blocks.in_use, self.blocks.matched(keys)
        allocation = self.blocks.allocate(keys, len(token_ids))
        if allocation is None:
            assert self.blocks.blocks_for(len(token_ids)) > free_before, "refused although there was room"
            return
        assert len(allocation.blocks) == self.blocks.blocks_for(len(token_ids))
        assert allocation.cached_tokens == min(matched, (len(token_ids) - 1) // SIZE) * SIZE < len(token_ids)
        reused = allocation.cached_tokens // SIZE
        for index, block in enumerate(allocation.blocks[:reused]):
            assert self.content[block] == tuple(token_ids[: (index + 1) * SIZE]), "a hit on other tokens"
        self.wrote(allocation, token_ids, reused)
        self.blocks.publish(allocation, keys[reused:])
        self.live.append((allocation, token_ids))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), token=st.integers(0, 1))
    def append(self, data: st.DataObject, token: int) -> None:
        allocation, token_ids = data.draw(st.sampled_from(self.live))
        held = list(allocation.blocks)
        if not self.blocks.grow(allocation, len(token_ids) + 1):
            assert self.blocks.in_use == self.blocks.count
            assert allocation.blocks == held
            return
        token_ids.append(token)
        keys = chain_keys(token_ids, SIZE)
        self.wrote(allocation, token_ids, len(allocation.keys))
        self.blocks.publish(allocation, keys[len(allocation.keys) :])

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.live) - 1))
        self.blocks.free(self.live.pop(index)[0])

    @rule()
    def forget(self) -> None:
        self.blocks.clear()

    @invariant()
    def conserved(self) -> None:
        self.blocks.check(allocation for allocation, _ in self.live)
        assert self.blocks.in_use == len({block for allocation, _ in self.live for block in allocation.blocks})

    @invariant()
    def events_tell_the_cache(self) -> None:
        assert self.told == self.blocks.cached_keys


LiveBlocks.TestCase.settings = settings(stateful_step_count=30)
TestLiveBlocks = LiveBlocks.TestCase


def test_second_prompt_reuses_the_shared_full_blocks_only() -> None:
    blocks = KvBlocks(8, SIZE)
    first = admitted(blocks, [1, 2, 3, 4, 5])
    second = admitted(blocks, [1, 2, 3, 9, 9])
    assert second.cached_tokens == 2
    assert second.blocks[0] == first.blocks[0]
    assert set(second.blocks[1:]).isdisjoint(first.blocks)
    assert (blocks.counters.queried_tokens, blocks.counters.hit_tokens) == (10, 2)


def test_last_token_is_always_computed() -> None:
    blocks = KvBlocks(8, SIZE)
    blocks.free(admitted(blocks, [1, 2, 3, 4]))
    assert admitted(blocks, [1, 2, 3, 4]).cached_tokens == 2


def test_least_recently_used_block_goes_first_and_tails_before_heads() -> None:
    blocks = KvBlocks(4, SIZE)
    old, new = [1, 1, 1, 1], [2, 2, 2, 2]
    for prompt in (old, new, old):
        blocks.free(admitted(blocks, prompt))
    blocks.free(admitted(blocks, [3, 3]))
    assert blocks.matched(chain_keys(new, SIZE)) == 1, (
        "the tail of the least recently used prompt is gone, not its head"
    )
    assert blocks.matched(chain_keys(old, SIZE)) == 2
    assert blocks.matched(chain_keys([3, 3], SIZE)) == 1


def test_blocks_that_hold_nothing_reusable_are_taken_before_cached_ones() -> None:
    blocks = KvBlocks(3, SIZE)
    blocks.free(admitted(blocks, [1, 1]))
    blocks.free(admitted(blocks, [2]))
    blocks.free(admitted(blocks, [3, 4, 5]))
    assert blocks.matched(chain_keys([1, 1], SIZE)) == 1


def test_without_caches_nothing_is_found_and_nothing_told() -> None:
    events: list[BlockEvent] = []
    blocks = KvBlocks(8, SIZE, caches=False, on_event=events.append)
    for _ in range(2):
        allocation = admitted(blocks, [1, 2, 3, 4, 5])
        assert allocation.cached_tokens == 0
        blocks.free(allocation)
    assert events == []
    assert blocks.counters.queried_tokens == blocks.counters.hit_tokens == 0


def test_events_carry_the_chain() -> None:
    events: list[BlockEvent] = []
    blocks = KvBlocks(3, SIZE, on_event=events.append)
    a, b, c = chain_keys([1, 2, 3, 4, 5, 6], SIZE)
    allocation = blocks.allocate([a, b], 4)
    assert allocation is not None
    blocks.publish(allocation, [a, b])
    assert blocks.grow(allocation, 6)
    blocks.publish(allocation, [c])
    blocks.free(allocation)
    admitted(blocks, [9])
    blocks.clear()
    assert events == [Stored((a, b), None), Stored((c,), b), Removed((c,)), Cleared()]


def test_a_block_is_not_freed_twice() -> None:
    blocks = KvBlocks(2, SIZE)
    allocation = admitted(blocks, [1, 2, 3])
    again = Allocation(list(allocation.blocks), [], 0)
    blocks.free(allocation)
    with pytest.raises(AssertionError, match="freed twice"):
        blocks.free(again)


def test_keys_depend_on_everything_before_and_on_extra_keys() -> None:
    plain = chain_keys([1, 2, 3, 4, 5], SIZE)
    assert len(plain) == 2
    assert chain_keys([1, 2, 3, 4], SIZE) == plain
    assert chain_keys([9, 2, 3, 4], SIZE)[1] != plain[1]
    salted = chain_keys([1, 2, 3, 4], SIZE, {0: "tenant"})
    assert set(salted).isdisjoint(plain)
    pictured = chain_keys([1, 2, 3, 4], SIZE, {1: "picture"})
    assert pictured[0] == plain[0]
    assert pictured[1] != plain[1]


@pytest.mark.parametrize("extra", [{}, {0: "x"}, {1: "x"}, {0: "x", 2: "y"}])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_chain_continues_where_it_was_left(extra: dict[int, str], cut: int) -> None:
    token_ids = [1, 2, 3, 4, 5, 6]
    whole = chain_keys(token_ids, SIZE, extra)
    begun = chain_keys(token_ids[: cut * SIZE], SIZE, extra)
    assert begun + chain_keys(token_ids[cut * SIZE :], SIZE, extra, after=begun) == whole


def test_a_block_that_two_computed_at_once_is_told_of_once() -> None:
    """So that the one removal that follows takes it back."""
    events: list[object] = []
    blocks = KvBlocks(20, 4, on_event=events.append)
    keys = [1, 2, 3, 4, 5]
    one, other = blocks.allocate([], 20), blocks.allocate([], 20)
    assert one is not None
    assert other is not None
    blocks.publish(one, keys[:2])
    blocks.publish(other, [1, 2, 3])
    blocks.publish(one, keys[2:])
    assert events == [Stored((1, 2), None), Stored((3,), 2), Stored((4, 5), 3)]
    assert [event.place for event in events if isinstance(event, Stored)] == [0, 2, 3]
