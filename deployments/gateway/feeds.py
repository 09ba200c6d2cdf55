"""Follows the KV events of every replica, as long as it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deployments.announcement import Announcement
from deployments.kv_events.subscriber import Subscriber
from deployments.routing import Replica, Router
from deployments.routing.feed import FeedState
from deployments.routing.kv_events import KvEvent

CATCHING_UP_BELIEF = 0.5
CATCHING_UP_S = 0.75
"""A feed that is behind for longer may be of an engine that is gone: nothing that it told is believed then."""

logger = logging.getLogger("mixfleet.kv_events")


@dataclass(eq=False)
class _IntoRouter:
    """Implements `deployments.kv_events.subscriber.Sink`."""

    router: Router
    replica: Replica
    feed_state: FeedState = FeedState.CATCHING_UP
    _doubt: asyncio.TimerHandle | None = None

    def apply(self, events: Sequence[KvEvent]) -> None:
        self.router.apply(self.replica, events)

    def clear(self) -> None:
        self.router.clear(self.replica)

    def state(self, state: FeedState) -> None:
        self.feed_state = state
        if self._doubt:
            self._doubt.cancel()
            self._doubt = None
        # One that lost batches for good under-claims, but what it claims is there.
        behind = state is FeedState.CATCHING_UP
        self.router.believe(self.replica, CATCHING_UP_BELIEF if behind else 1.0)
        if behind:
            loop = asyncio.get_running_loop()
            self._doubt = loop.call_later(CATCHING_UP_S, self.router.believe, self.replica, 0.0)


class Feeds:
    """One task per replica that tells of its cache, in the event loop that `follow` is called in."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sinks: dict[str, _IntoRouter] = {}

    def follow(self, router: Router, announcements: Iterable[Announcement]) -> None:
        """Begins to follow replicas of `router` that are not followed yet."""
        for told in announcements:
            if told.kv_events and told.kv_replay and told.incarnation not in self._tasks:
                sink = _IntoRouter(router, router.replicas[told.incarnation])
                subscriber = Subscriber(told.kv_events, told.kv_replay, sink)
                task = asyncio.create_task(subscriber.run(), name=f"KV events of {told.replica}")
                task.add_done_callback(_say_why)
                self._tasks[told.incarnation], self._sinks[told.incarnation] = task, sink

    def leave(self, gone: Iterable[str]) -> None:
        """Stops following these incarnations."""
        for incarnation in gone:
            if task := self._tasks.pop(incarnation, None):
                task.cancel()
            self._sinks.pop(incarnation, None)

    def state(self, incarnation: str) -> FeedState | None:
        """None where the replica tells nothing of its cache."""
        sink = self._sinks.get(incarnation)
        return sink.feed_state if sink else None

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.leave(list(self._tasks))
        await asyncio.gather(*tasks, return_exceptions=True)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s ended: %r", task.get_name(), error)
