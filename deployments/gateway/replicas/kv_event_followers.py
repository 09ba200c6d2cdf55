"""Follows the cache reporter of every replica, as long as it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.report_stream import ReportStream
from deployments.kv_cache.report_subscriber import PURPOSE, ReporterAddresses, ReportSubscriber
from deployments.replica_info import ReplicaInfo
from deployments.routing import Replica, Router
from deployments.routing.cache_change import CacheChange
from deployments.tasks import log_failure

CATCHING_UP_BELIEF = 0.5
CATCHING_UP_S = 0.75
"""A feed that is behind for longer may be of an engine that is gone: nothing that it reported is believed then."""

logger = logging.getLogger("mixfleet.kv_cache")


@dataclass(eq=False)
class _IntoRouter:
    """Implements `deployments.kv_cache.report_subscriber.Sink`."""

    router: Router
    replica: Replica
    feed_state: FeedState = FeedState.CATCHING_UP
    _doubt: asyncio.TimerHandle | None = None

    def held(self) -> set[int]:
        return self.router.held(self.replica)

    def change(self, change: CacheChange) -> None:
        self.router.change(self.replica, change)

    def clear(self) -> None:
        self.router.clear(self.replica)

    def state(self, state: FeedState) -> None:
        self.feed_state = state
        self._stop_doubting()
        # One that lost batches for good under-claims, but what it claims is there.
        behind = state is FeedState.CATCHING_UP
        self.router.believe(self.replica, CATCHING_UP_BELIEF if behind else 1.0)
        if behind:
            loop = asyncio.get_running_loop()
            self._doubt = loop.call_later(CATCHING_UP_S, self.router.believe, self.replica, 0.0)

    def _stop_doubting(self) -> None:
        if self._doubt:
            self._doubt.cancel()
            self._doubt = None

    def abandon(self) -> None:
        """Nobody reports what the replica holds any more."""
        self._stop_doubting()
        self.router.clear(self.replica)


@dataclass(eq=False)
class _Feed:
    subscriber: ReportSubscriber
    sink: _IntoRouter


class Feeds:
    """The cache reporters of all replicas, in the event loop that `follow` is called in.

    Without `secrets`, as in front of servers that are not of this fleet, nothing is followed.
    """

    def __init__(self, secrets: FleetSecrets | None = None) -> None:
        self._keys = SocketKeys.of(secrets, PURPOSE) if secrets else None
        self._feeds: dict[str, _Feed] = {}
        self._stream: ReportStream | None = None
        self._streaming: asyncio.Task[None] | None = None

    def follow(self, router: Router, replica_infos: Iterable[ReplicaInfo]) -> None:
        """Takes all replicas of `router`: begins to follow those that are new, and those whose reporter is another."""
        for replica_info in replica_infos:
            if self._keys:
                self._follow(router, replica_info, self._keys)

    def _follow(self, router: Router, replica_info: ReplicaInfo, keys: SocketKeys) -> None:
        incarnation, addresses = replica_info.incarnation, _addresses(replica_info)
        known = self._feeds.get(incarnation)
        if known and known.subscriber.addresses == addresses:
            return
        if known:
            self.leave([incarnation])
        if addresses is None:
            return
        sink = known.sink if known else _IntoRouter(router, router.replicas[incarnation])
        subscriber = ReportSubscriber(addresses, keys, router.index.prefix_keys.fingerprint, sink)
        if self._stream is None:
            self._stream = ReportStream(keys)
            self._streaming = asyncio.create_task(self._stream.run(), name="cache reports")
            self._streaming.add_done_callback(partial(log_failure, logger))
        self._feeds[incarnation] = _Feed(subscriber, sink)
        try:
            self._stream.add(subscriber)
        except (ValueError, zmq.ZMQError) as error:
            logger.error("%s announces no address of a cache reporter: %r", replica_info.replica, error)

    def leave(self, gone: Iterable[str]) -> None:
        """Stops following these incarnations, and forgets what they held."""
        for incarnation in gone:
            if feed := self._feeds.pop(incarnation, None):
                feed.sink.abandon()
                assert self._stream is not None
                self._stream.remove(feed.subscriber)

    def state(self, incarnation: str) -> FeedState | None:
        """None where nobody reports what the replica holds."""
        feed = self._feeds.get(incarnation)
        return feed.sink.feed_state if feed else None

    async def close(self) -> None:
        self.leave(list(self._feeds))
        if self._streaming:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
        self._stream = self._streaming = None


def _addresses(replica_info: ReplicaInfo) -> ReporterAddresses | None:
    if replica_info.cache_reports and replica_info.cache_snapshots:
        return ReporterAddresses(replica_info.cache_reports, replica_info.cache_snapshots)
    return None
