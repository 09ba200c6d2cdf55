"""Follows one replica's cache reporter, in the event loop of whoever runs it: no thread, no blocking call.

Reports come from the reporter's PUB socket, snapshots from its ROUTER socket; both are encrypted, and let in gateways
of the fleet alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import zmq
import zmq.asyncio

from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.replica_copy import Change, Forget, Load, ReplicaCopy, RequestSnapshot, Step
from deployments.kv_cache.reports import (
    KEYS_IN_PART,
    SnapshotPart,
    SnapshotRequest,
    UnreadableReport,
    decode_part,
    decode_report,
    encode,
)
from deployments.routing.cache_change import CacheChange

PURPOSE = "cache reports of 64-token keys"
"""Of the socket keys of reporters and gateways. Another one with each change of the messages: then older processes are
strangers, and nobody tries to read what they say."""

TICK_S = 0.25
BURST_S = 0.002
"""Work done without letting the event loop's other tasks run; a piece of `KEYS_IN_PIECE` keys is never split."""
KEYS_IN_PIECE = 2_048
QUEUE = 2_000
"""Messages that wait in a socket. Those beyond are lost, and a snapshot makes them good."""

logger = logging.getLogger("mixfleet.kv_cache")


@dataclass(frozen=True)
class ReporterAddresses:
    """Where a cache reporter publishes and answers, as `encrypted_sockets` writes addresses."""

    reports: str
    snapshots: str


class Sink(Protocol):
    """Where one replica's cache is kept track of. Called in the subscriber's event loop; must not block."""

    def held(self) -> set[int]:
        """The keys that are known of the replica."""

    def change(self, change: CacheChange) -> None:
        """One change, in order, each once."""

    def clear(self) -> None:
        """Nothing is known of this replica's cache any more."""

    def state(self, state: FeedState) -> None:
        """How far what is known is what the engine holds. It begins as CATCHING_UP."""


class ReportSubscriber:
    """One replica's reports. `run` is the task; cancel it to end. `keying`: the fingerprint of this gateway's keys."""

    def __init__(self, addresses: ReporterAddresses, keys: SocketKeys, keying: bytes, sink: Sink) -> None:
        self._addresses, self._keys, self._sink = addresses, keys, sink
        self._copy = ReplicaCopy(keying)
        self._state = self._copy.state
        self._in_turn = asyncio.Lock()
        self._slice_began = 0.0
        self._snapshots: zmq.asyncio.Socket | None = None
        self._request: asyncio.Future[zmq.MessageTracker | None] | None = None

    async def run(self) -> None:
        """Follows the reporter until it is cancelled. One that is gone is waited for: it may come back.

        Raises ValueError or zmq.ZMQError at once where an address is none that ZeroMQ can connect to.
        """
        reports, snapshots = client_socket(zmq.SUB), client_socket(zmq.DEALER)
        monitor = reports.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._snapshots = snapshots
        try:
            for socket in (reports, snapshots):
                socket.setsockopt(zmq.RCVHWM, QUEUE)
            snapshots.setsockopt(zmq.IMMEDIATE, 1)
            reports.subscribe(b"")
            connect(reports, self._addresses.reports, self._keys)
            connect(snapshots, self._addresses.snapshots, self._keys)
            self._sink.state(self._state)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive_reports(reports))
                tasks.create_task(self._receive_parts(snapshots))
                tasks.create_task(self._notice_disconnections(monitor))
                tasks.create_task(self._tick())
                async with self._in_turn:
                    await self._take(self._copy.start(time.monotonic()))
        finally:
            self._drop_request()
            reports.disable_monitor()
            for socket in (monitor, reports, snapshots):
                socket.close(linger=0)

    async def _receive_reports(self, reports: zmq.asyncio.Socket) -> None:
        while True:
            message = await reports.recv()
            async with self._in_turn:
                try:
                    steps = self._copy.report(decode_report(message), time.monotonic())
                except UnreadableReport as error:
                    steps = self._unreadable(error)
                await self._take(steps)

    async def _receive_parts(self, snapshots: zmq.asyncio.Socket) -> None:
        while True:
            message = await snapshots.recv()
            async with self._in_turn:
                try:
                    steps = self._copy.snapshot_part(decode_part(message), time.monotonic())
                except UnreadableReport as error:
                    steps = self._unreadable(error)
                await self._take(steps)

    async def _notice_disconnections(self, monitor: zmq.asyncio.Socket) -> None:
        while True:
            await monitor.recv_multipart()
            async with self._in_turn:
                await self._take(self._copy.disconnected(time.monotonic()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            async with self._in_turn:
                await self._take(self._copy.tick(time.monotonic()))

    async def _take(self, steps: Sequence[Step]) -> None:
        """Takes the steps. Whoever calls it holds `_in_turn`: steps are taken in the order that they came in."""
        for step in steps:
            try:
                await self._take_one(step)
            except UnreadableReport as error:
                await self._take(self._unreadable(error))
                return
        if (state := self._copy.state) is not self._state:
            self._state = state
            if self._copy.foreign_keys:
                logger.warning(
                    "%s: keys of another secret; its cache is not used until reporter and gateway read the same "
                    "secrets file",
                    self._addresses.reports,
                )
            self._sink.state(state)

    async def _take_one(self, step: Step) -> None:
        match step:
            case Change(report):
                await self._apply(report.change().pieces(KEYS_IN_PIECE))
            case Load(parts):
                await self._apply(differences(self._sink.held(), parts))
            case Forget():
                self._sink.clear()
            case RequestSnapshot(request):
                self._drop_request()
                assert self._snapshots is not None
                # It waits for the connection, and a later request takes its place.
                self._request = asyncio.ensure_future(self._snapshots.send(encode(SnapshotRequest(request))))

    async def _apply(self, changes: Iterable[CacheChange]) -> None:
        for change in changes:
            self._sink.change(change)
            if time.monotonic() - self._slice_began >= BURST_S:
                await asyncio.sleep(0)
                self._slice_began = time.monotonic()

    def _drop_request(self) -> None:
        """Takes back a request that still waits for a connection."""
        if self._request:
            self._request.cancel()
            self._request = None

    def _unreadable(self, error: UnreadableReport) -> list[Step]:
        logger.warning("%s: %s", self._addresses.reports, error)
        return self._copy.unreadable(time.monotonic())


def differences(held: Iterable[int], parts: Iterable[SnapshotPart]) -> Iterator[CacheChange]:
    """What has to change so that `held` is what the parts hold, in pieces."""
    gone = set(held)
    for part in parts:
        keys = part.contents()
        yield CacheChange([key for key in keys if key not in gone])
        gone.difference_update(keys)
    known = list(gone)
    for start in range(0, len(known), KEYS_IN_PART):
        yield CacheChange(removed=known[start : start + KEYS_IN_PART])
