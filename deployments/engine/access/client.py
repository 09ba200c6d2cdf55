"""HTTP sessions with engines: every request has the fleet's key."""

from __future__ import annotations

import ssl

import aiohttp

from deployments.engine.access.keys import EngineKeys
from deployments.http_sessions import direct_session


def engine_session(
    keys: EngineKeys | None,
    timeout: aiohttp.ClientTimeout,
    base_url: str | None = None,
    tls: ssl.SSLContext | bool = True,
) -> aiohttp.ClientSession:
    """A session for one event loop. `keys` is None for servers that want none; `tls` is `client_context`'s."""

    async def with_key(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if keys:
            request.headers.update(keys.headers())
        return await handler(request)

    connector = aiohttp.TCPConnector(ssl=tls)
    return direct_session(base_url=base_url, timeout=timeout, middlewares=(with_key,), connector=connector)
