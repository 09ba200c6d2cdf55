"""Keeps a registry listening where its participants reach it, with the keys that are valid now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from deployments.encrypted_sockets import SocketKeys
from deployments.registry.membership import Membership
from deployments.registry.messages import RegistryAddress
from deployments.registry.server import RegistryServer

CHECK_PERIOD_S = 1.0
"""Seconds between two looks at the place and at the published address."""

logger = logging.getLogger("mixfleet.registry")


class Place(NamedTuple):
    """The address to listen on, and the keys."""

    host: str
    keys: SocketKeys


class Listener:
    """One registry's sockets. What it knows and its incarnation stay the same. Belongs to one event loop."""

    def __init__(
        self,
        membership: Membership,
        place: Callable[[], Place],
        find: Callable[[], RegistryAddress | None],
        publish: Callable[[RegistryAddress], None],
    ) -> None:
        """`place` says where to listen now; `find` and `publish` are those of `endpoint`. All may block."""
        self._membership = membership
        self._current_place, self._find, self._publish = place, find, publish
        self._place: Place | None = None
        self._address: RegistryAddress | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def listens(self) -> bool:
        return self._running is not None and not self._running.done()

    async def start(self) -> None:
        """Listens, and publishes the address. Raises what `place` and `publish` raise, or zmq.ZMQError."""
        place = await asyncio.to_thread(self._current_place)
        if place != self._place or not self.listens:
            await self.stop()
            server = RegistryServer(self._membership, place.keys, place.host)
            first, self._place, self._address = self._address is None, place, server.address
            self._running = asyncio.create_task(_run(server))
            if first:
                await asyncio.to_thread(self._publish, server.address)
        found = await asyncio.to_thread(self._find)
        succeeded = found is not None and found.registry != self._membership.registry
        if self._address and found != self._address and not succeeded:
            await asyncio.to_thread(self._publish, self._address)

    async def keep(self) -> None:
        """Listens anew where the place changes, until it is cancelled."""
        while True:
            await asyncio.sleep(CHECK_PERIOD_S)
            try:
                await self.start()
            except Exception as error:  # Ray, the secrets file, ZeroMQ: each may be well the next time
                logger.warning("the registry's sockets stay as they are: %s: %s", type(error).__name__, error)

    async def stop(self) -> None:
        """Ends the sockets. Safe to call twice."""
        running, self._running = self._running, None
        if running:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _run(server: RegistryServer) -> None:
    try:
        await server.run()
    finally:
        server.close()
