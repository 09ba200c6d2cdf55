"""Whether a replica that failed or is silent is frozen or dead, by its health check. One check serves all who wait."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from deployments.engine.access.client import EngineHeaders, no_headers
from deployments.gateway.proxy.upstream.connection import UpstreamLost
from deployments.gateway.proxy.upstream.http_client import HttpClient, Unreachable

CHECK_TIMEOUT_S = 5.0
FRESH_S = 0.5
"""A result that is no older is used again."""


class Health(StrEnum):
    ALIVE = "alive"
    FROZEN = "frozen"
    """It accepts connections, or did, and does not answer."""
    DEAD = "dead"
    """Nobody listens there, or its server says that the engine has ended (503)."""


class EngineHealth:
    """Health checks of replicas, by address. Belongs to one event loop."""

    def __init__(self, client: HttpClient, engine_headers: EngineHeaders = no_headers) -> None:
        self._client, self._engine_headers = client, engine_headers
        self._checks: dict[str, tuple[float, asyncio.Task[Health]]] = {}

    async def check(self, url: str) -> Health:
        """Takes `CHECK_TIMEOUT_S` at most."""
        now = asyncio.get_running_loop().time()
        self._checks = {u: (at, t) for u, (at, t) in self._checks.items() if not t.done() or now - at < FRESH_S}
        if url not in self._checks:
            self._checks[url] = now, asyncio.create_task(self._check(url))
        return await asyncio.shield(self._checks[url][1])

    async def close(self) -> None:
        tasks = [task for _, task in self._checks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, url: str) -> Health:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                answer = await self._client.send("GET", url, "/health", self._engine_headers(url))
        except TimeoutError:
            return Health.FROZEN
        except Unreachable as error:
            return Health.DEAD if error.in_time else Health.FROZEN
        except UpstreamLost:
            return Health.DEAD
        answer.close()
        return Health.DEAD if answer.status == 503 else Health.ALIVE
