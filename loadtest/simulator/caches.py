"""What an engine's KV cache tells the router's index, without token ids: keys of blocks are the index's own keys."""

from __future__ import annotations

from deployments.engine.fake.kv_blocks import BlockEvent, Cleared, Removed, Stored
from deployments.routing.cache_change import CacheChange
from deployments.routing.index import PrefixIndex


class CacheNews:
    """Gathers one engine's events until they are sent, and applies them once they have come."""

    def __init__(self, index: PrefixIndex, replica: int) -> None:
        self._index, self._replica = index, replica
        self._gathered: list[BlockEvent] = []

    def take(self, event: BlockEvent) -> None:
        """For `KvBlocks.on_event`."""
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
                    # What continues a block that was forgotten cannot be met by a prompt.
                    if parent is None or index.holds(replica, parent):
                        index.change(replica, CacheChange(keys, stored_blocks=len(keys)))
                case Removed(keys):
                    index.change(replica, CacheChange(removed=keys, removed_blocks=len(keys)))
                case Cleared():
                    index.clear(replica)
