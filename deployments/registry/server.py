"""The registry's sockets: participants report to one, and followers hear the news on the other."""

from __future__ import annotations

import asyncio
import logging
import time

import zmq

from deployments.encrypted_sockets import Server, SocketKeys
from deployments.events import wait_at_most
from deployments.registry.membership import Membership
from deployments.registry.messages import (
    MOST_REPORT_BYTES,
    Receipt,
    RegistryAddress,
    UnreadableMessage,
    decode_report,
    encode,
)

PERIOD_S = 0.05
"""Seconds between two messages of news, at least: the changes meanwhile are one message."""

LOOK_PERIOD_S = 0.25
REPORTS_QUEUE = 100
"""Reports that wait for the registry, of each participant. The sender drops those beyond."""

QUEUE = 10
"""Messages that wait for one participant. It misses those beyond; a frozen one delays nobody."""

logger = logging.getLogger("mixfleet.registry")


class RegistryServer:
    """Takes reports into a `Membership` and publishes its news. Belongs to one event loop."""

    def __init__(self, membership: Membership, keys: SocketKeys, host: str) -> None:
        """Listens on two ports of `host` that the OS chooses. Raises zmq.ZMQError where it cannot."""
        self._membership = membership
        self._changed = asyncio.Event()
        self._refused = 0
        self._server = Server(keys, host)
        try:
            self._reports = self._server.socket(zmq.ROUTER)  # drops what a participant does not take
            self._reports.setsockopt(zmq.RCVHWM, REPORTS_QUEUE)
            self._reports.setsockopt(zmq.SNDHWM, QUEUE)
            self._reports.setsockopt(zmq.MAXMSGSIZE, MOST_REPORT_BYTES)
            self._news = self._server.plain_socket(zmq.PUB)  # drops what a follower does not take
            self._news.set_hwm(QUEUE)
            self.address = RegistryAddress(
                membership.registry, self._server.bind(self._reports), self._server.bind(self._news)
            )
        except BaseException:
            self._server.close()
            raise

    def close(self) -> None:
        """Ends the sockets. Call it after `run` has ended."""
        self._server.close()

    async def run(self) -> None:
        """Takes and publishes until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take())
            tasks.create_task(self._publish())

    async def _take(self) -> None:
        while True:
            frames = await self._reports.recv_multipart()
            # One who sends without end must not keep the news back: an answer that is there is received at once.
            await asyncio.sleep(0)
            if len(frames) != 2:
                continue
            sender, message = frames
            try:
                numbered = decode_report(message)
            except UnreadableMessage as error:
                self._log_refusal(str(error))
                continue
            if not self._membership.take(numbered.report, time.monotonic()):
                self._log_refusal("there are too many participants")
                continue
            if self._membership.changed:
                self._changed.set()
            await self._reports.send_multipart([sender, encode(Receipt(self._membership.registry, numbered.number))])

    async def _publish(self) -> None:
        while True:
            await wait_at_most(self._changed, LOOK_PERIOD_S)
            self._changed.clear()
            now = time.monotonic()
            self._membership.look(now)
            if news := self._membership.news(now):
                self._news.send(encode(news))
            await asyncio.sleep(PERIOD_S)

    def _log_refusal(self, reason: str) -> None:
        """The first, and then one in a hundred: a participant repeats what it reports."""
        if self._refused % 100 == 0:
            logger.warning("a report is refused, the %d. in all: %s", self._refused + 1, reason)
        self._refused += 1
