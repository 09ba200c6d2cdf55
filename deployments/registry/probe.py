"""Whether engines answer, asked of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from cluster.fleet import Fleet
from deployments.engine.access.client import engine_session, is_own_engine
from deployments.engine.access.keys import EngineKeys
from deployments.engine.access.tls import client_context

TIMEOUT = aiohttp.ClientTimeout(total=5)
AT_ONCE = 32
"""Engines that are asked at the same time."""


async def answering(fleet: Fleet, urls: Sequence[str]) -> set[str]:
    """Those of a fleet's engines that prove to be its own, without having seen a key, and whose `/health` answers 200.

    Raises SecretsError or TlsError where the fleet names a file that cannot be used.
    """
    places = asyncio.Semaphore(AT_ONCE)
    keys = await asyncio.to_thread(EngineKeys.of_fleet, fleet)
    tls = client_context(fleet.engine_tls)
    async with engine_session(keys, TIMEOUT, tls=tls) as session, engine_session(None, TIMEOUT, tls=tls) as keyless:

        async def answers(url: str) -> bool:
            async with places:
                try:
                    if not await is_own_engine(keyless, keys, url):
                        return False
                    async with session.get(f"{url}/health") as answer:
                        return answer.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    return False

        found = await asyncio.gather(*map(answers, urls))
    return {url for url, answers in zip(urls, found, strict=True) if answers}
