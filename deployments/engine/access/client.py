"""HTTP sessions with engines: every request has the fleet's key."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Mapping

import aiohttp

from deployments.engine.access.keys import CHALLENGE_HEADER, PROOF_HEADER, EngineKeys
from deployments.http_sessions import direct_session

EngineHeaders = Callable[[str], Mapping[str, str]]
"""What the engine with a URL wants to see in every request."""


def no_headers(_: str) -> Mapping[str, str]:
    """For servers that are no fleet's own."""
    return {}


def engine_session(
    keys: EngineKeys | None,
    timeout: aiohttp.ClientTimeout,
    base_url: str | None = None,
    tls: ssl.SSLContext | bool = True,
) -> aiohttp.ClientSession:
    """A session for one event loop. `keys` is None for servers that want none; `tls` is `client_context`'s."""

    async def with_key(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if keys:
            request.headers.update(keys.headers(str(request.url.origin())))
        return await handler(request)

    connector = aiohttp.TCPConnector(ssl=tls)
    return direct_session(base_url=base_url, timeout=timeout, middlewares=(with_key,), connector=connector)


async def is_own_engine(keyless: aiohttp.ClientSession, keys: EngineKeys, url: str) -> bool:
    """Whether the fleet's own engine listens there, and no other server: asked without a key, by a session without any.

    Raises aiohttp.ClientError or TimeoutError where nobody answers.
    """
    challenge = secrets.token_hex(16)
    async with keyless.get(f"{url}/health", headers={CHALLENGE_HEADER: challenge}) as answer:
        return keys.proves(answer.headers.get(PROOF_HEADER, ""), challenge, url)
