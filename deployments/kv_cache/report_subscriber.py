"""Follows one replica's cache reporter, in the event loop of whoever runs it: no thread, no blocking call.

Snapshots come from the reporter's ROUTER socket over a connection that lasts as long as one of them: most replicas need
none after their first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import zmq
import zmq.asyncio

from deployments.encrypted_sockets import SocketKeys, connected_socket, split_address
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
from deployments.tasks import log_failure

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
    """One replica's reports, which `ReportStream` brings, and snapshots, which it fetches itself. Belongs to one event
    loop. `keying`: the fingerprint of this gateway's keys."""

    def __init__(self, addresses: ReporterAddresses, keys: SocketKeys, keying: bytes, sink: Sink) -> None:
        self.addresses = addresses
        self._keys, self._sink = keys, sink
        self._copy = ReplicaCopy(keying)
        self._state = self._copy.state
        self._in_turn = asyncio.Lock()
        self._slice_began = 0.0
        self._fetching: asyncio.Task[None] | None = None

    def start(self, gate: asyncio.Semaphore, on_reporter: Callable[[bytes], None]) -> None:
        """To be called once reports are subscribed to. Raises ValueError where an address is none.

        `gate` is one for all subscribers of a process. `on_reporter` hears the name of the process that a snapshot came
        from: its reports bear it.
        """
        self._gate, self._on_reporter = gate, on_reporter
        split_address(self.addresses.snapshots)
        self._sink.state(self._state)
        (first,) = self._copy.start(time.monotonic())
        assert isinstance(first, RequestSnapshot)
        self._fetch(first.request)

    def close(self) -> None:
        """Nothing more is fetched."""
        if self._fetching:
            self._fetching.cancel()

    async def report(self, message: bytes) -> None:
        """Takes a report of the reporter's."""
        try:
            report = decode_report(message)
        except UnreadableReport as error:
            await self._follow(self._unreadable(error))
        else:
            await self._follow(partial(self._copy.report, report))

    async def disconnected(self) -> None:
        """The connection that brought reports has ended."""
        await self._follow(self._copy.disconnected)

    async def tick(self) -> None:
        """To be called each `TICK_S`."""
        await self._follow(self._copy.tick)

    def _fetch(self, request: int) -> None:
        """Fetches this snapshot instead of the one that is under way."""
        if self._fetching and self._fetching is not asyncio.current_task():
            self._fetching.cancel()
        self._fetching = asyncio.create_task(self._fetched(request), name=f"snapshot of {self.addresses.snapshots}")
        self._fetching.add_done_callback(partial(log_failure, logger))

    async def _fetched(self, request: int) -> None:
        """Takes the parts of a snapshot. One that does not come is asked for anew by a tick."""
        async with self._gate:
            socket = connected_socket(zmq.DEALER, self.addresses.snapshots, self._keys, {zmq.RCVHWM: QUEUE})
            try:
                await socket.send(encode(SnapshotRequest(request)))
                await self._take_parts(socket)
            finally:
                socket.close(linger=0)

    async def _take_parts(self, socket: zmq.asyncio.Socket) -> None:
        while self._fetching is asyncio.current_task():
            message = await socket.recv()
            try:
                part = decode_part(message)
            except UnreadableReport as error:
                await self._follow(self._unreadable(error))
                return
            self._on_reporter(part.header.reporter)
            await self._follow(partial(self._copy.snapshot_part, part))
            if part.part + 1 >= part.parts:
                return

    async def _follow(self, what: Callable[[float], Sequence[Step]]) -> None:
        """Steps are taken in the order that they came in."""
        async with self._in_turn:
            await self._take(what(time.monotonic()))

    async def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                await self._take_one(step)
            except UnreadableReport as error:
                await self._take(self._unreadable(error)(time.monotonic()))
                return
        if (state := self._copy.state) is not self._state:
            self._state = state
            if self._copy.foreign_keys:
                logger.warning(
                    "%s: keys of another secret; its cache is not used until reporter and gateway read the same "
                    "secrets file",
                    self.addresses.reports,
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
                self._fetch(request)

    async def _apply(self, changes: Iterable[CacheChange]) -> None:
        for change in changes:
            self._sink.change(change)
            if time.monotonic() - self._slice_began >= BURST_S:
                await asyncio.sleep(0)
                self._slice_began = time.monotonic()

    def _unreadable(self, error: UnreadableReport) -> Callable[[float], list[Step]]:
        logger.warning("%s: %s", self.addresses.reports, error)
        return self._copy.unreadable


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
