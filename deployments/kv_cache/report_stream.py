"""The reports of all replicas' cache reporters, over one socket: a process with a thousand replicas has a connection to
each, and not its own sockets, tasks and timers for each.

Reports come from the reporters' PUB sockets; all is encrypted, and they let in gateways of the fleet alone.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.kv_cache.report_subscriber import BURST_S, QUEUE, TICK_S, ReportSubscriber

SNAPSHOTS_AT_ONCE = 32
"""Fetched by one process: a thousand replicas that join at once would need more sockets than ZeroMQ allows."""


class ReportStream:
    """Brings each subscriber its reports. Belongs to one event loop; `run` is its task."""

    def __init__(self, keys: SocketKeys) -> None:
        self._keys = keys
        self._gate = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._subscribers: dict[str, ReportSubscriber] = {}
        """By the endpoint that its reports come from."""
        self._named: dict[bytes, ReportSubscriber] = {}
        """By the name that their reports bear."""
        self._reports = client_socket(zmq.SUB)
        self._reports.setsockopt(zmq.RCVHWM, QUEUE)
        self._reports.subscribe(b"")
        self._monitor = self._reports.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    async def run(self) -> None:
        """Follows all subscribers until it is cancelled. Reporters that are gone are waited for: they may come back."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._notice_disconnections())
                tasks.create_task(self._tick())
        finally:
            self.close()

    def close(self) -> None:
        """Closes the socket. `run` does it at its end."""
        if not self._reports.closed:
            self._reports.disable_monitor()
            self._monitor.close(linger=0)
            self._reports.close(linger=0)

    def add(self, subscriber: ReportSubscriber) -> None:
        """Begins to follow. Raises ValueError or zmq.ZMQError where an address is none that ZeroMQ can connect to."""
        endpoint = connect(self._reports, subscriber.addresses.reports, self._keys)
        self._subscribers[endpoint] = subscriber
        try:
            subscriber.start(self._gate, partial(self._name, subscriber))
        except BaseException:
            self.remove(subscriber)
            raise

    def remove(self, subscriber: ReportSubscriber) -> None:
        """Stops following; a second time does nothing."""
        subscriber.close()
        for endpoint in [endpoint for endpoint, known in self._subscribers.items() if known is subscriber]:
            del self._subscribers[endpoint]
            if not self._reports.closed:
                self._reports.disconnect(endpoint)
        self._name(subscriber, None)

    def _name(self, subscriber: ReportSubscriber, reporter: bytes | None) -> None:
        """Its reports bear this name from now on, and no other."""
        if reporter is None or self._named.get(reporter) is not subscriber:
            self._named = {name: known for name, known in self._named.items() if known is not subscriber}
        if reporter is not None:
            self._named[reporter] = subscriber

    async def _receive(self) -> None:
        began = time.monotonic()
        while True:
            frames = await _received(self._reports)
            # Before its first snapshot a reporter has no name here. What it says meanwhile is in there, or is missed.
            if len(frames) == 2 and (subscriber := self._named.get(frames[0])):
                await subscriber.report(frames[1])
            if time.monotonic() - began >= BURST_S:
                await asyncio.sleep(0)  # what has come already is received without letting others run
                began = time.monotonic()

    async def _notice_disconnections(self) -> None:
        while True:
            event = parse_monitor_message(await _received(self._monitor))
            if subscriber := self._subscribers.get(event["endpoint"].decode()):
                await subscriber.disconnected()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for subscriber in list(self._subscribers.values()):
                await subscriber.tick()


async def _received(socket: zmq.asyncio.Socket) -> list[bytes]:
    """The next message. One that is announced may be gone with its connection before it is received."""
    while True:
        try:
            frames: list[bytes] = await socket.recv_multipart()
        except zmq.Again:
            continue
        return frames
