"""Reports of one participant to the registry. Sending never waits: what cannot be sent at once is dropped."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import zmq
import zmq.asyncio

from deployments.encrypted_sockets import SocketKeys, connected_socket
from deployments.registry.messages import (
    NumberedReport,
    RegistryAddress,
    Report,
    UnreadableMessage,
    decode_receipt,
    encode,
)

QUEUE = 10
"""Reports that wait for the network. Each makes good the ones before it."""

RECEIPTS_QUEUE = 100
REPEAT_S = 0.3
"""Seconds after which `deliver` sends again what the registry has not confirmed."""

logger = logging.getLogger("mixfleet.registry")


class Reporter:
    """Sends reports to one registry, and to another one once `connect` has named it. Belongs to one event loop."""

    def __init__(self) -> None:
        self.heard = -math.inf
        """When the registry confirmed a report last, by `time.monotonic`."""
        self._number = 0
        self._confirmed = 0
        """Number of the last report that was confirmed."""
        self._receipt = asyncio.Event()
        self._at: tuple[RegistryAddress, SocketKeys] | None = None
        self._socket: zmq.asyncio.Socket | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def connect(self, address: RegistryAddress, keys: SocketKeys) -> None:
        """Reports go there from now on. Does nothing where they do already.

        Raises ValueError or zmq.ZMQError where it is no address that ZeroMQ can connect to.
        """
        if self._at == (address, keys):
            return
        await self.close()
        # With IMMEDIATE nothing waits for a connection that is not there.
        options: dict[int, int | bytes] = {zmq.SNDHWM: QUEUE, zmq.RCVHWM: RECEIPTS_QUEUE, zmq.IMMEDIATE: 1}
        socket = connected_socket(zmq.DEALER, address.reports, keys, options)
        self._at, self._socket = (address, keys), socket
        self._receiving = asyncio.create_task(self._receive(socket, address.registry))

    def send(self, report: Report) -> bool:
        """Never waits. False where the registry is not connected, or takes nothing."""
        if self._socket is None:
            return False
        self._number += 1
        # Done at once, one way or the other; pyzmq's annotation says less.
        sending = asyncio.ensure_future(self._socket.send(encode(NumberedReport(self._number, report)), zmq.NOBLOCK))
        return sending.done() and sending.exception() is None

    async def deliver(self, report: Report, within_s: float) -> None:
        """Sends until the registry confirms it. Raises TimeoutError where it does not in this time."""
        first = self._number + 1
        async with asyncio.timeout(within_s):
            while self._confirmed < first:
                self._receipt.clear()
                self.send(report)
                try:
                    async with asyncio.timeout(REPEAT_S):
                        while self._confirmed < first:
                            await self._receipt.wait()
                            self._receipt.clear()
                except TimeoutError:
                    pass

    async def close(self) -> None:
        """Ends the connection. Safe to call twice."""
        receiving, socket = self._receiving, self._socket
        self._at = self._receiving = self._socket = None
        if receiving:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        if socket:
            socket.close(linger=0)

    async def _receive(self, socket: zmq.asyncio.Socket, registry: str) -> None:
        while True:
            try:
                receipt = decode_receipt(await socket.recv())
            except UnreadableMessage as error:
                logger.warning("a receipt of the registry: %s", error)
                continue
            if receipt.registry == registry:
                self.heard = time.monotonic()
                self._confirmed = max(self._confirmed, receipt.number)
                self._receipt.set()
