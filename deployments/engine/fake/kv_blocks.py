"""Paged KV blocks with a prefix cache, as vLLM keeps them: pure accounting without a tensor, a clock or a socket.

Blocks hold `block_size` tokens. A full block has a key: a hash of everything up to its end, so that equal keys mean
equal prefixes. Freed blocks keep their key and stay usable until they are needed for something else, least recently
used first.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b


@dataclass(frozen=True)
class Stored:
    """Blocks became reusable. `parent` is the key of the block before the first of `keys`; None at a prompt's start.

    `place` is how many blocks come before them, `source` what `publish` was told that they belong to.
    """

    keys: tuple[int, ...]
    parent: int | None
    place: int = field(default=0, compare=False)
    source: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Removed:
    """Blocks were taken for other content."""

    keys: tuple[int, ...]


@dataclass(frozen=True)
class Cleared:
    """Every reusable block was forgotten."""


BlockEvent = Stored | Removed | Cleared


def chain_keys(
    token_ids: Sequence[int], block_size: int, extra_keys: Mapping[int, str] | None = None, after: Sequence[int] = ()
) -> list[int]:
    """64-bit keys of the full blocks of `token_ids` (ids below 2**64), each over its parent's key, ids and extra key.

    Args:
        extra_keys: index of a block in its sequence -> what else it depends on: a tenant's salt, a picture's identity.
        after: keys of the sequence's blocks before `token_ids`, to continue their chain.
    """
    parent = after[-1].to_bytes(8, "big") if after else b""
    keys: list[int] = []
    for start in range(0, len(token_ids) - block_size + 1, block_size):
        digest = blake2b(parent, digest_size=8)
        digest.update(array("Q", token_ids[start : start + block_size]).tobytes())
        if extra_keys:
            digest.update(extra_keys.get(len(after) + len(keys), "").encode())
        parent = digest.digest()
        keys.append(int.from_bytes(parent, "big"))
    return keys


@dataclass(slots=True)
class Allocation:
    """The blocks of one sequence, in order. The first `len(keys)` of them are full and reusable by others."""

    blocks: list[int]
    keys: list[int]
    cached_tokens: int
    """Tokens that were already there when the sequence was admitted."""


@dataclass(slots=True)
class CacheCounters:
    """Tokens looked up in the prefix cache and tokens found there, over all allocations."""

    queried_tokens: int = 0
    hit_tokens: int = 0


@dataclass
class KvBlocks:
    """A pool of `count` blocks of `block_size` tokens.

    With `caches` False nothing is ever found again: no key is kept, no event is told.
    `on_event` is called in the middle of the change that it tells of: it must not call back.
    """

    count: int
    block_size: int
    caches: bool = True
    on_event: Callable[[BlockEvent], None] | None = None
    counters: CacheCounters = field(default_factory=CacheCounters)

    def __post_init__(self) -> None:
        self._holders = [0] * self.count
        self._key_of: dict[int, int] = {}
        self._block_of: dict[int, int] = {}
        # Free blocks in the order in which they are taken: given back without content, never used, then with content.
        self._empty: list[int] = []
        self._used = 0
        self._cached: OrderedDict[int, None] = OrderedDict()

    @property
    def _free(self) -> int:
        return len(self._empty) + self.count - self._used + len(self._cached)

    @property
    def in_use(self) -> int:
        return self.count - self._free

    @property
    def cached_keys(self) -> frozenset[int]:
        """Keys that a new sequence would find."""
        return frozenset(self._block_of)

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def matched(self, keys: Iterable[int]) -> int:
        """How many leading `keys` are there: blocks that an allocation would reuse."""
        found = 0
        for key in keys:
            if key not in self._block_of:
                break
            found += 1
        return found

    def allocate(self, keys: Sequence[int], tokens: int) -> Allocation | None:
        """Blocks for a sequence of `tokens` tokens, reusing those of its leading `keys` that are there.

        The last token is always left to compute, as the model needs its output. None, and nothing changed, where too
        few blocks are free.
        """
        reusable = keys[: max(0, tokens - 1) // self.block_size]
        hits = [self._block_of[key] for key in reusable[: self.matched(reusable)]]
        fresh = self.blocks_for(tokens) - len(hits)
        if fresh > self._free - sum(block in self._cached for block in hits):
            return None
        for block in hits:
            self._cached.pop(block, None)
            self._holders[block] += 1
        cached_tokens = len(hits) * self.block_size
        self.counters.queried_tokens += tokens if self.caches else 0
        self.counters.hit_tokens += cached_tokens
        return Allocation(hits + self._take(fresh), list(reusable[: len(hits)]), cached_tokens)

    def grow(self, allocation: Allocation, tokens: int) -> bool:
        """Adds blocks until `tokens` tokens fit. False, and nothing changed, where too few blocks are free."""
        fresh = self.blocks_for(tokens) - len(allocation.blocks)
        if fresh > self._free:
            return False
        allocation.blocks.extend(self._take(fresh))
        return True

    def publish(self, allocation: Allocation, keys: Sequence[int], source: object = None) -> None:
        """Tells that the next blocks of `allocation` are computed and full, and that these are their keys."""
        if not self.caches:
            return
        first = len(allocation.keys)
        assert first + len(keys) <= len(allocation.blocks), "more full blocks than blocks"
        allocation.keys.extend(keys)
        run: list[int] = []
        for place, key in enumerate(keys, first):
            # One that another sequence computed meanwhile stays the other's, and is told of once.
            if key not in self._block_of:
                block = allocation.blocks[place]
                self._block_of[key], self._key_of[block] = block, key
                run.append(key)
            elif run:
                self._tell(allocation, run, place, source)
                run = []
        if run:
            self._tell(allocation, run, len(allocation.keys), source)

    def _tell(self, allocation: Allocation, run: list[int], end: int, source: object) -> None:
        """That a run of new blocks ends before place `end` of the sequence."""
        if self.on_event:
            start = end - len(run)
            self.on_event(Stored(tuple(run), allocation.keys[start - 1] if start else None, start, source))

    def free(self, allocation: Allocation) -> None:
        """Gives the blocks back; a sequence's last block is the first to be taken for other content."""
        for block in reversed(allocation.blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, "a block was freed twice"
            if not self._holders[block]:
                if block in self._key_of:
                    self._cached[block] = None
                else:
                    self._empty.append(block)
        allocation.blocks.clear()
        allocation.keys.clear()

    def clear(self) -> None:
        """Forgets everything reusable; blocks in use stay with their sequences."""
        self._key_of.clear()
        self._block_of.clear()
        if self.on_event:
            self.on_event(Cleared())

    def _take(self, wanted: int) -> list[int]:
        taken, evicted = [], []
        for _ in range(wanted):
            block = self._next_free()
            self._holders[block] = 1
            if (key := self._key_of.pop(block, None)) is not None:
                del self._block_of[key]
                evicted.append(key)
            taken.append(block)
        if evicted and self.on_event:
            self.on_event(Removed(tuple(evicted)))
        return taken

    def _next_free(self) -> int:
        if self._empty:
            return self._empty.pop()
        if self._used < self.count:
            self._used += 1
            return self._used - 1
        return self._cached.popitem(last=False)[0]

    def check(self, live: Iterable[Allocation]) -> None:
        """Asserts every invariant, given all live allocations; for tests and idle moments."""
        holders = [0] * self.count
        for allocation in live:
            assert len(set(allocation.blocks)) == len(allocation.blocks), "a block twice in one sequence"
            for block in allocation.blocks:
                holders[block] += 1
        assert holders == self._holders, "reference counts differ from the live sequences"
        free = [*self._empty, *range(self._used, self.count), *self._cached]
        assert [block for block in range(self.count) if not holders[block]] == sorted(free), "blocks lost or doubled"
        assert self._block_of == {key: block for block, key in self._key_of.items()}, "keys and blocks disagree"
