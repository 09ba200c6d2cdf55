"""Block accounting: an engine's KV events, which name blocks and token ids, become changes in keys of prefixes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from deployments.kv_cache.events import Cleared, KvEvent, Removed, Stored
from deployments.routing.cache_change import CacheChange
from deployments.routing.keys import PrefixEnd, PrefixKeys

MOST_BLOCKS_UNKNOWN = 1_000_000
"""Blocks kept of an engine that does not report how many it has."""


class BlockAccounts:
    """One engine's blocks: which keys each stands for, and what changed since the last `take_change`.

    A key is there as long as the block in which its tokens end: engines give up a prefix's end before its start. What
    continues a block that is unknown is left out. Beyond `most_blocks` the oldest are forgotten.
    """

    def __init__(self, keys: PrefixKeys, model: str, most_blocks: int | None = None) -> None:
        self.held: dict[int, None] = {}
        """The keys that the engine holds, in the order in which they came."""
        self._prefix_keys, self._model = keys, model
        self._most_blocks = most_blocks or MOST_BLOCKS_UNKNOWN
        self._blocks: dict[Hashable, tuple[PrefixEnd, Sequence[int]]] = {}
        """The engine's name of each block -> where it ends, and its keys."""
        self._copies: dict[Hashable, int] = {}
        """Of blocks that are there more than once: each copy is taken back by an event of its own."""
        self._stored: dict[int, None] = {}
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

    def remove(self, names: Sequence[Hashable]) -> None:
        """Blocks were taken for other content."""
        self._removed_blocks += len(names)
        for name in names:
            self._take_back(name)

    def _store(self, event: Stored) -> None:
        if event.parent is None:
            prefix = PrefixEnd(self._prefix_keys.root_key(self._model, event.adapter, event.salt))
        elif (parent := self._blocks.get(event.parent)) is not None:
            prefix, _ = parent
        else:
            return
        blocks = self._prefix_keys.block_keys(event.token_ids, event.media, prefix, event.block_size)
        for name, block in zip(event.hashes, blocks, strict=True):
            if name in self._blocks:
                self._copies[name] = self._copies.get(name, 1) + 1
                continue
            self._blocks[name] = block
            for key in block[1]:
                self._add(key)
        self._stored_blocks += len(event.hashes)
        while len(self._blocks) > self._most_blocks:
            self._take_back(next(iter(self._blocks)))

    def _take_back(self, name: Hashable) -> None:
        copies = self._copies.pop(name, 1)
        if copies > 2:
            self._copies[name] = copies - 1
        if copies == 1 and (block := self._blocks.pop(name, None)) is not None:
            for key in block[1]:
                self._withdraw(key)

    def _add(self, key: int) -> None:
        self.held[key] = None
        if key in self._removed:
            del self._removed[key]
        else:
            self._stored[key] = None

    def _withdraw(self, key: int) -> None:
        if key not in self.held:
            return
        del self.held[key]
        if key in self._stored:
            del self._stored[key]
        else:
            self._removed[key] = None
