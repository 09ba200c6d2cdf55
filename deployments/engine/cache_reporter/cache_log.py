"""What a reporter knows of its engine's cache, as numbered reports and as snapshots. No socket, no clock."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence

from deployments.kv_cache.blocks import BlockAccounts
from deployments.kv_cache.events import KvEvent
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.reports import Header, Report, SnapshotPart, snapshot
from deployments.routing.cache_change import CacheChange
from deployments.routing.keys import PrefixKeys

NO_CHANGE = CacheChange()


class CacheLog:
    """Implements `deployments.kv_cache.subscriber.Sink`: takes the engine's events. `on_news` is called after each."""

    def __init__(self, keys: PrefixKeys, model: str, most_blocks: int | None = None) -> None:
        self.on_news: Callable[[], None] = _ignore
        self.name, self._keying = secrets.token_bytes(8), keys.fingerprint
        """Of this reporter, as its reports bear it."""
        self._accounts = BlockAccounts(keys, model, most_blocks)
        self._sequence = 0
        self._state = FeedState.CATCHING_UP

    def apply(self, events: Sequence[KvEvent]) -> None:
        for event in events:
            self._accounts.apply(event)
        self.on_news()

    def clear(self) -> None:
        self._accounts.clear()
        self.on_news()

    def state(self, state: FeedState) -> None:
        self._state = state
        self.on_news()

    @property
    def changed(self) -> bool:
        """Whether there are changes that no report holds yet."""
        return self._accounts.changed

    def report(self) -> Report:
        """All changes since the last report, under the next sequence number; without any it says only how it is."""
        base = self._sequence
        if not self.changed:
            return Report.of(self._header(), base, NO_CHANGE)
        self._sequence += 1
        return Report.of(self._header(), base, self._accounts.take_change())

    def snapshot(self, request: int) -> Iterator[SnapshotPart]:
        """All that is known now, in answer to this request. Every change must have been reported."""
        assert not self.changed
        return snapshot(self._header(), request, self._accounts.held)

    def _header(self) -> Header:
        return Header(self.name, self._keying, self._sequence, self._state)


def _ignore() -> None:
    """Nobody wants to know yet."""
