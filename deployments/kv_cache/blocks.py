"""Block accounting: an engine's KV events, which name blocks and token ids, become changes in keys of prefixes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from deployments.kv_cache.events import Cleared, KvEvent, Removed, Stored
from deployments.routing.cache_change import CacheChange
from deployments.routing.keys import KEY_TOKENS, PrefixKeys

MOST_BLOCKS_UNKNOWN = 1_000_000
"""Blocks kept of an engine that does not report how many it has."""


class BlockAccounts:
    """One engine's blocks: which keys each stands for, and what changed since the last `take_change`.

    Where a block ends within a run of `KEY_TOKENS` tokens, or continues a block that is unknown, nothing can be said of
    its prefix: it is left out. Beyond `most_blocks` the oldest are forgotten.
    """

    def __init__(self, keys: PrefixKeys, model: str, most_blocks: int | None = None) -> None:
        self.held: dict[int, int] = {}
        """Each key that the engine holds -> how many keys come before it."""
        self._prefix_keys, self._model = keys, model
        self._most_blocks = most_blocks or MOST_BLOCKS_UNKNOWN
        self._blocks: dict[Hashable, tuple[int, ...]] = {}
        """The engine's name of each block -> how many keys come before it, then its keys."""
        self._copies: dict[Hashable, int] = {}
        """Of blocks that are there more than once: each copy is taken back by an event of its own."""
        self._stored: dict[int, int] = {}
        self._removed: dict[int, None] = {}
        self._cleared = False
        self._stored_blocks = self._removed_blocks = 0

    @property
    def changed(self) -> bool:
        """Whether `take_change` has something to say."""
        return bool(self._cleared or self._stored or self._removed or self._stored_blocks or self._removed_blocks)

    def take_change(self) -> CacheChange:
        """The sum of all changes since the last call."""
        change = CacheChange(
            stored=list(self._stored),
            depths=list(self._stored.values()),
            removed=list(self._removed),
            cleared=self._cleared,
            stored_blocks=self._stored_blocks,
            removed_blocks=self._removed_blocks,
        )
        self._stored.clear()
        self._removed.clear()
        self._cleared = False
        self._stored_blocks = self._removed_blocks = 0
        return change

    def apply(self, event: KvEvent) -> None:
        """Follows one event of the engine."""
        match event:
            case Stored():
                self._store(event)
            case Removed():
                self.remove(event.hashes)
            case Cleared():
                self.clear()

    def clear(self) -> None:
        """Forgets every block."""
        self._blocks.clear()
        self._copies.clear()
        self.held.clear()
        self._stored.clear()
        self._removed.clear()
        self._cleared = True

    def store(self, names: Sequence[Hashable], parent: Hashable | None, keys: Sequence[int]) -> None:
        """Blocks that follow each other after `parent`, with as many keys for each name."""
        depth = 0
        if parent is not None:
            if (known := self._blocks.get(parent)) is None:
                return
            depth = known[0] + len(known) - 1
        per_block = len(keys) // len(names) if names else 0
        for place, name in enumerate(names):
            if name in self._blocks:
                self._copies[name] = self._copies.get(name, 1) + 1
                continue
            first = place * per_block
            own = keys[first : first + per_block]
            self._blocks[name] = (depth + first, *own)
            for before, key in enumerate(own, depth + first):
                self._add(key, before)
        self._stored_blocks += len(names)
        while len(self._blocks) > self._most_blocks:
            self._take_back(next(iter(self._blocks)))

    def remove(self, names: Sequence[Hashable]) -> None:
        """Blocks were taken for other content."""
        self._removed_blocks += len(names)
        for name in names:
            self._take_back(name)

    def _store(self, event: Stored) -> None:
        if event.block_size % KEY_TOKENS:
            return
        if event.parent is None:
            before, depth = self._prefix_keys.root_key(self._model, event.adapter, event.salt), 0
        elif (parent := self._blocks.get(event.parent)) is not None:
            before, depth = parent[-1], parent[0] + len(parent) - 1
        else:
            return
        keys = self._prefix_keys.block_keys(event.token_ids, event.media, before, depth)
        self.store(event.hashes, event.parent, keys)

    def _take_back(self, name: Hashable) -> None:
        copies = self._copies.pop(name, 1)
        if copies > 2:
            self._copies[name] = copies - 1
        if copies == 1 and (block := self._blocks.pop(name, None)) is not None:
            for key in block[1:]:
                self._withdraw(key)

    def _add(self, key: int, before: int) -> None:
        self.held[key] = before
        if key in self._removed:
            del self._removed[key]
        else:
            self._stored[key] = before

    def _withdraw(self, key: int) -> None:
        if self.held.pop(key, None) is None:
            return
        if key in self._stored:
            del self._stored[key]
        else:
            self._removed[key] = None
