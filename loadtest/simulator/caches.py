"""What an engine's KV cache tells the router's index, without token ids: keys of blocks are the index's own keys."""

from __future__ import annotations

from collections.abc import Iterator

from deployments.engine.fake.kv_blocks import BlockEvent, Cleared, Removed, Stored
from deployments.routing.index import PrefixIndex


class CacheNews:
    """Gathers one engine's events until they are sent, and applies them once they have come.

    An event tells of whole runs: blocks of it that were told of before are left out, as one `Removed` takes them back.
    """

    def __init__(self, index: PrefixIndex, replica: int) -> None:
        self._index, self._replica = index, replica
        self._gathered: list[BlockEvent] = []
        self._told: set[int] = set()

    def take(self, event: BlockEvent) -> None:
        """For `KvBlocks.on_event`."""
        match event:
            case Stored():
                self._gathered += self._new(event)
                return
            case Removed(keys):
                self._told.difference_update(keys)
            case Cleared():
                self._told.clear()
        self._gathered.append(event)

    def gathered(self) -> list[BlockEvent]:
        """What was taken since the last call."""
        gathered, self._gathered = self._gathered, []
        return gathered

    def apply(self, events: list[BlockEvent]) -> None:
        """Follows them in the index."""
        index, replica = self._index, self._replica
        for event in events:
            match event:
                case Stored(keys, parent):
                    index.store(replica, keys, parent, keys)
                case Removed(keys):
                    index.remove(replica, keys)
                case Cleared():
                    index.clear(replica)

    def _new(self, event: Stored) -> Iterator[Stored]:
        """Its runs of blocks that were not told of yet."""
        told, parent = self._told, event.parent
        run: list[int] = []
        for key in event.keys:
            if key in told:
                if run:
                    yield Stored(tuple(run), parent)
                    run = []
                parent = key
            else:
                told.add(key)
                run.append(key)
        if run:
            yield Stored(tuple(run), parent)
