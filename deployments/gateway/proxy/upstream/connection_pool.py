"""Connections to replicas, kept open between requests."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from deployments.gateway.proxy.upstream.connection import UpstreamConnection

KEEPALIVE_S = 4.0
"""Shorter than the 5 s after which vLLM's server closes an idle connection, lest a request meet the closing."""

MOST_ORIGINS = 4096
"""Addresses of replicas whose parts are remembered."""


@dataclass(frozen=True)
class Origin:
    """Where a replica listens. `authority` is what the header `Host` says."""

    host: str
    port: int
    encrypted: bool
    authority: str


@lru_cache(MOST_ORIGINS)
def origin_of(url: str) -> Origin:
    """The parts of a replica's URL. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is no http or https URL")
    encrypted = parts.scheme == "https"
    return Origin(parts.hostname, parts.port or (443 if encrypted else 80), encrypted, parts.netloc.rpartition("@")[2])


class ConnectionPool:
    """Idle connections by origin; the one used last is used next. Belongs to one event loop."""

    def __init__(self, connect_timeout_s: float, context: ssl.SSLContext | None) -> None:
        """`context`: for origins that are encrypted; None for what the machine trusts."""
        self._connect_timeout_s, self._context = connect_timeout_s, context
        self._idle: dict[Origin, deque[tuple[float, UpstreamConnection]]] = {}
        self._busy: set[UpstreamConnection] = set()
        self._loop = asyncio.get_running_loop()
        self._sweep: asyncio.TimerHandle | None = None

    async def take(self, origin: Origin) -> UpstreamConnection:
        """An open connection that nobody else uses. Raises OSError, TimeoutError where none can be opened."""
        idle, fresh_since = self._idle.get(origin), self._loop.time() - KEEPALIVE_S
        while idle:
            since, connection = idle.pop()
            if connection.is_open and since >= fresh_since:
                self._busy.add(connection)
                return connection
            connection.close()
        async with asyncio.timeout(self._connect_timeout_s):
            _, opened = await self._loop.create_connection(
                UpstreamConnection, origin.host, origin.port, ssl=(self._context or True) if origin.encrypted else None
            )
        self._busy.add(opened)
        return opened

    def give_back(self, origin: Origin, connection: UpstreamConnection) -> None:
        """Keeps the connection for the next request, or closes it where none may follow."""
        self._busy.discard(connection)
        if not connection.reusable:
            connection.close()
            return
        self._idle.setdefault(origin, deque()).append((self._loop.time(), connection))
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEPALIVE_S, self._close_idle)

    def close(self) -> None:
        if self._sweep:
            self._sweep.cancel()
            self._sweep = None
        for connection in self._busy:
            connection.close()
        for idle in self._idle.values():
            for _, connection in idle:
                connection.close()
        self._busy.clear()
        self._idle.clear()

    def _close_idle(self) -> None:
        fresh_since = self._loop.time() - KEEPALIVE_S
        for origin, idle in list(self._idle.items()):
            while idle and idle[0][0] < fresh_since:
                idle.popleft()[1].close()
            if not idle:
                del self._idle[origin]
        self._sweep = self._loop.call_later(KEEPALIVE_S / 2, self._close_idle) if self._idle else None
