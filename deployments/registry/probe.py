"""Whether engines answer, asked of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from cluster.fleet import Fleet
from deployments.engine.access.client import engine_session
from deployments.engine.access.keys import EngineKeys
from deployments.engine.access.tls import client_context

TIMEOUT = aiohttp.ClientTimeout(total=5)
AT_ONCE = 32
"""Engines that are asked at the same time."""


async def answering(fleet: Fleet, urls: Sequence[str]) -> set[str]:
    """Those of a fleet's engines whose `/health` answers 200 in time.

    Raises SecretsError or TlsError where the fleet names a file that cannot be used.
    """
    places = asyncio.Semaphore(AT_ONCE)
    keys = await asyncio.to_thread(EngineKeys.of_fleet, fleet)
    async with engine_session(keys, TIMEOUT, tls=client_context(fleet.engine_tls)) as session:
        found = await asyncio.gather(*(_answers(session, url, places) for url in urls))
    return {url for url, answers in zip(urls, found, strict=True) if answers}


async def _answers(session: aiohttp.ClientSession, url: str, places: asyncio.Semaphore) -> bool:
    async with places:
        try:
            async with session.get(f"{url}/health") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
