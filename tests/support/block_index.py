"""An index that is fed with engines' events: what reporter and gateway do together, without the sockets between."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.kv_cache.blocks import BlockAccounts
from deployments.kv_cache.events import KvEvent
from deployments.routing import Replica, Router
from deployments.routing.index import PrefixIndex


class BlockIndex(PrefixIndex):
    """As `PrefixIndex`, with blocks that each replica's engine has names for."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._accounts: dict[int, BlockAccounts] = {}

    def add(self, replica: int, most_blocks: int | None = None, block_tokens: int | None = None) -> None:
        super().add(replica, most_blocks, block_tokens)
        self._accounts[replica] = BlockAccounts(self.prefix_keys, self.model, most_blocks)

    def apply(self, replica: int, event: KvEvent) -> None:
        """Follows one event of a replica's engine."""
        self._accounts[replica].apply(event)
        self.change(replica, self._accounts[replica].take_change())


def apply_events(router: Router, replica: Replica, events: Sequence[KvEvent]) -> None:
    """What the replica's engine holds after these events, its first ones, is what the router knows of it."""
    accounts = BlockAccounts(router.index.prefix_keys, router.index.model)
    for event in events:
        accounts.apply(event)
    router.change(replica, accounts.take_change())
