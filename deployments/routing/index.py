"""Which replicas of a model hold which prefixes, as their cache reporters say.

`claims` maps the key of a prefix to the replicas that hold it, as the bits of one number, so that a lookup walks a
prompt's keys once, however many replicas there are. Booked prompts are claimed ahead of the reporter's word, for a
short life: a burst with one prefix then goes where the first of it went.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from sys import getsizeof

from deployments.routing.cache_change import CacheChange
from deployments.routing.claims import KEY_BYTES, Claims
from deployments.routing.keys import KEY_TOKENS, PrefixKeys
from deployments.routing.lost import LostPrefixes
from deployments.routing.prompt import Prompt

MOST_BLOCKS_UNKNOWN = 1_000_000
"""Blocks kept of a replica that does not tell how many it has."""
MOST_EXPECTED = 500_000
"""Keys claimed ahead of the engines' word, over all bookings."""
EXPECTED_TOKENS = 128
"""Of a booked prompt's keys only one in so many tokens is claimed: a hint does not need to be exact."""
WORTH_STEP = 0.2
"""Of the running mean of what room is made of, for each sampled key: a memory of some thousand tokens."""
STRIDE = 8
"""Keys that a lookup skips while the set of holders stays the same: engines free a prefix's end before its start."""


@dataclass(slots=True)
class _Source:
    """One replica's cache."""

    most_blocks: int
    block_tokens: int
    stored: float = 0.0
    removed: float = 0.0
    """Blocks lately, over about as many as its cache has."""
    worth: float = 1.0
    """Share of what it gave up last that prompts of this router's time had asked for."""

    def count(self, stored: int, removed: int) -> None:
        kept = max(0.0, 1.0 - stored / self.most_blocks)
        self.stored, self.removed = self.stored * kept + stored, self.removed * kept + removed


class PrefixIndex:
    """The claims of all replicas of one model. Replicas are small numbers: the bits of the claims.

    A key stands for `key_tokens` tokens. `prefix_keys` makes the keys of prompts: those of who reports the caches must
    come from the same secret.
    """

    def __init__(self, model: str, key_tokens: int = KEY_TOKENS, prefix_keys: PrefixKeys | None = None) -> None:
        self.model = model
        self.key_tokens = key_tokens
        self.prefix_keys = prefix_keys or PrefixKeys()
        self._expected_every = max(1, EXPECTED_TOKENS // key_tokens)
        self._claims = Claims()
        self._expected: dict[int, int] = {}
        self._expiries: deque[tuple[float, int, Sequence[int]]] = deque()
        self._lasting: deque[tuple[float, int, Sequence[int]]] = deque()
        """Of replicas that report nothing, whose expectations live longer."""
        self._expected_keys = 0
        self._sources: dict[int, _Source] = {}
        self._roots: dict[tuple[str, str], int] = {}
        self.lost = LostPrefixes(key_tokens)

    def add(self, replica: int, most_blocks: int | None = None, block_tokens: int | None = None) -> None:
        """A replica without blocks; `most_blocks` is its whole cache in blocks of its own, of `block_tokens` each."""
        assert replica not in self._sources
        self._claims.add(replica)
        self._sources[replica] = _Source(most_blocks or MOST_BLOCKS_UNKNOWN, block_tokens or self.key_tokens)

    def drop(self, replica: int) -> None:
        """Forgets a replica; its number may then be used again."""
        self._claims.drop(replica)
        self._end_expectations(replica)
        del self._sources[replica]

    def clear(self, replica: int) -> None:
        """Takes back everything that is claimed of a replica."""
        self._claims.clear(replica)
        self._end_expectations(replica)

    def change(self, replica: int, change: CacheChange) -> None:
        """Follows a replica's cache."""
        if change.cleared:
            self.clear(replica)
        source = self._sources[replica]
        source.count(change.stored_blocks, change.removed_blocks)
        if change.removed:
            removed = self._claims.remove(replica, change.removed)
            for requested in self.lost.take(removed, self._claims):
                source.worth += (requested - source.worth) * WORTH_STEP
        if change.stored:
            self._claims.store(replica, change.stored)

    def held(self, replica: int) -> set[int]:
        """The keys that a replica holds, collected anew."""
        return self._claims.held(replica)

    def holds(self, replica: int, key: int) -> bool:
        """Whether a replica holds this key."""
        return bool(self._claims.holders(key) & 1 << replica)

    def displaces(self, replica: int) -> float:
        """Blocks that its cache lately gave up for each that it took in: 0 while it fills, about 1 once it is full.

        Those that nobody asked for since this router began make room for nothing.
        """
        source = self._sources[replica]
        return source.worth * min(1.0, source.removed / source.stored) if source.stored >= 1 else 0.0

    def expect(self, replica: int, keys: Sequence[int], known: int, until: float, *, reports: bool = True) -> None:
        """Claims a prompt's `keys` after the first `known` ahead of its engine's word, until that time.

        `reports`: whether such a word will come. Expectations of the replicas with one answer end in their order.
        """
        bit = 1 << replica
        expected, every = self._expected, self._expected_every
        first = known - known % every + every - 1
        claimed = keys[first::every]
        for key in claimed:
            expected[key] = expected.get(key, 0) | bit
        (self._expiries if reports else self._lasting).append((until, replica, claimed))
        self._expected_keys += len(claimed)
        while self._expected_keys > MOST_EXPECTED:
            self._forget_oldest(self._lasting or self._expiries)

    def expire(self, now: float) -> None:
        """Ends the expectations whose time has passed.

        In the order of booking: one that should end before an older one ends with it.
        """
        for expiries in (self._expiries, self._lasting):
            while expiries and expiries[0][0] <= now:
                self._forget_oldest(expiries)

    def matches(self, keys: Sequence[int]) -> list[tuple[int, int]]:
        """How many leading keys replicas hold: (their bits, count). Those that hold nothing are not listed; of one
        that is listed twice the larger count is right: it is expected to hold more than it does."""
        self.lost.ask(keys)
        found = self._held(keys)
        if self._expected:
            found += self._expected_of(keys)
        return found

    def _held(self, keys: Sequence[int]) -> list[tuple[int, int]]:
        """By what engines told: each replica once, the longest last."""
        holders_of = self._claims.holders
        found: list[tuple[int, int]] = []
        holders = holders_of(keys[0]) if keys else 0
        known = 1
        while holders and known < len(keys):
            # Every one of `holders` holds keys[known - 1].
            ahead = min(known + STRIDE, len(keys))
            still = holders & holders_of(keys[ahead - 1])
            if still == holders:
                known = ahead
                continue
            # Some lose the trail in between: by halves to where the first of them does.
            low, high = known, ahead
            while high - low > 1:
                middle = (low + high) // 2
                if holders & holders_of(keys[middle - 1]) == holders:
                    low = middle
                else:
                    high = middle
            still = holders & holders_of(keys[high - 1])
            found.append((holders & ~still, low))
            holders, known = still, high
        if holders:
            found.append((holders, known))
        return found

    def _expected_of(self, keys: Sequence[int]) -> list[tuple[int, int]]:
        """By engines and bookings together: replicas that bookings promise something of these keys."""
        holders_of, expected = self._claims.holders, self._expected
        found: list[tuple[int, int]] = []
        every = self._expected_every
        trail = promised = 0
        for key in keys[every - 1 :: every]:
            trail |= expected.get(key, 0)
        places = range(every - 1, len(keys), every) if trail else range(0)
        for place in places:
            key = keys[place]
            new = expected.get(key, 0)
            still = trail & (new | holders_of(key))
            if lost := promised & ~still:
                found.append((lost, place + 1 - every))
            trail, promised = still, (promised | new) & still
            if not trail:
                return found
        if promised:
            found.append((promised, len(places) * every))
        return found

    def root(self, salt: str, adapter: str = "") -> int:
        """The key that prompts of this salt and adapter start from."""
        key = (adapter, salt)
        found = self._roots.get(key)
        if found is None:
            if len(self._roots) >= 10_000:
                self._roots.clear()
            found = self._roots[key] = self.prefix_keys.root_key(self.model, adapter, salt)
        return found

    def prompt_keys(self, prompt: Prompt, salt: str = "") -> list[int]:
        """The keys of a prompt of this model, by which it is looked for."""
        return self.prefix_keys.prompt_keys(prompt, self.root(salt))

    @property
    def keys(self) -> int:
        """Prefixes that some replica holds."""
        return len(self._claims)

    def blocks(self, replica: int) -> int:
        """Blocks of that replica that are known."""
        return self._claims.count(replica) * self.key_tokens // self._sources[replica].block_tokens

    def size_bytes(self) -> int:
        """Memory of all claims, estimated."""
        return self._claims.size_bytes() + getsizeof(self._expected) + KEY_BYTES * len(self._expected)

    def _end_expectations(self, replica: int) -> None:
        bit = 1 << replica
        for key in [key for key, holders in self._expected.items() if holders & bit]:
            _take_bit(self._expected, key, bit)

    def _forget_oldest(self, expiries: deque[tuple[float, int, Sequence[int]]]) -> None:
        _, replica, keys = expiries.popleft()
        self._expected_keys -= len(keys)
        bit = 1 << replica
        for key in keys:
            _take_bit(self._expected, key, bit)


def _take_bit(table: dict[int, int], key: int, bit: int) -> None:
    left = table.get(key, 0) & ~bit
    if left:
        table[key] = left
    else:
        table.pop(key, None)
