"""Follows the news of the registry, and of another one once it is named, in the event loop of whoever runs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import zmq
import zmq.asyncio

from deployments.encrypted_sockets import SocketKeys, connected_socket
from deployments.registry.known_fleet import KnownFleet
from deployments.registry.messages import RegistryAddress, UnreadableMessage, decode_news

QUEUE = 10
"""Messages of news that wait in the socket. A listing makes good those beyond, which are lost."""

logger = logging.getLogger("mixfleet.registry")


class Follower:
    """Keeps a `KnownFleet` up to date, and calls `changed` whenever that has changed."""

    def __init__(self, known: KnownFleet, changed: Callable[[], None]) -> None:
        self._known, self._on_change = known, changed
        self._at: tuple[RegistryAddress, SocketKeys] | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def connect(self, address: RegistryAddress, keys: SocketKeys) -> None:
        """Follows the registry there from now on. Does nothing where it does already. What is known stays.

        Raises ValueError or zmq.ZMQError where it is no address that ZeroMQ can connect to.
        """
        if self._at == (address, keys):
            return
        await self.close()
        socket = connected_socket(zmq.SUB, address.news, keys, {zmq.RCVHWM: QUEUE, zmq.SUBSCRIBE: b""})
        self._at = address, keys
        self._known.follow(address.registry)
        self._receiving = asyncio.create_task(self._receive(socket))

    async def close(self) -> None:
        """Ends the connection. Safe to call twice."""
        receiving, self._receiving, self._at = self._receiving, None, None
        if receiving:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        try:
            while True:
                message = await socket.recv()
                try:
                    news = decode_news(message)
                except UnreadableMessage as error:
                    logger.warning("the registry's news: %s", error)
                    continue
                if self._known.take(news, time.monotonic()):
                    self._on_change()
        finally:
            socket.close(linger=0)
