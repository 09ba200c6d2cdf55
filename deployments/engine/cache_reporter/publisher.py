"""The reporter's sockets: reports for all gateways, a snapshot for each that asks for one."""

from __future__ import annotations

import asyncio
import logging

import zmq
import zmq.asyncio

from deployments.encrypted_sockets import Server, SocketKeys
from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.events import wait_at_most
from deployments.kv_cache.report_subscriber import ReporterAddresses
from deployments.kv_cache.reports import UnreadableReport, decode_request, encode

PERIOD_S = 0.1
"""Between two reports, at least: the changes of several engine steps are one message."""
IDLE_PERIOD_S = 0.25
"""Between two reports, at most: a gateway believes no reporter that is silent."""
QUEUE = 1_000
"""Reports that wait for one gateway. A gateway that has missed one asks for a snapshot."""
SNAPSHOT_QUEUE = 10_000
"""Parts of snapshots that wait for one gateway."""

logger = logging.getLogger("mixfleet.kv_cache")


class Publisher:
    """Publishes a log. Belongs to one event loop."""

    def __init__(self, log: CacheLog, keys: SocketKeys, host: str) -> None:
        """Listens on two ports of `host` that the OS chooses. Raises zmq.ZMQError where it cannot."""
        self._log = log
        self._news = asyncio.Event()
        log.on_news = self._news.set
        self._server = Server(keys, host)
        try:
            self._reports = self._server.plain_socket(zmq.PUB)  # never blocks: it drops what a gateway does not take
            self._reports.set_hwm(QUEUE)
            self._snapshots = self._server.socket(zmq.ROUTER)
            self._snapshots.set_hwm(SNAPSHOT_QUEUE)
            self.addresses = ReporterAddresses(self._server.bind(self._reports), self._server.bind(self._snapshots))
        except BaseException:
            self._server.close()
            raise

    def close(self) -> None:
        """Ends the sockets. Call it after `run` has ended."""
        self._server.close()

    async def run(self) -> None:
        """Publishes and answers until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish())
            tasks.create_task(self._answer())

    async def _publish(self) -> None:
        while True:
            await wait_at_most(self._news, IDLE_PERIOD_S)
            self._send_report()
            await asyncio.sleep(PERIOD_S)

    async def _answer(self) -> None:
        while True:
            frames = await self._snapshots.recv_multipart()
            if len(frames) != 2:
                continue
            try:
                request = decode_request(frames[1]).request
            except UnreadableReport as error:
                logger.warning("a gateway's request: %s", error)
                continue
            if self._log.changed:
                self._send_report()
            for part in self._log.snapshot(request):
                # A ROUTER drops what a gateway does not take: it asks again.
                await self._snapshots.send_multipart([frames[0], encode(part)])

    def _send_report(self) -> None:
        self._news.clear()
        self._reports.send_multipart([self._log.name, encode(self._log.report())])
