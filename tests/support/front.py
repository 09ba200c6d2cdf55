"""A gateway in the test's own event loop, over fake engines, and what both of them count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from cluster.fleet import Fleet, Pool, Task
from deployments.gateway.server import GatewayServer
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import direct_session, with_secrets
from tests.support.processes import HOST, replica_info


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Waits until a condition on someone else's state holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # another's state
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Engine:
    """A fake engine's process, and its own test routes."""

    url: str
    pool: Pool
    task: Task = Task.CHAT

    def announced(self, **changes: Any) -> ReplicaInfo:
        return replica_info(self.url, self.pool, task=self.task, **changes)

    async def stats(self) -> dict[str, int]:
        async with direct_session() as session, session.get(f"{self.url}/stats") as answer:
            told: dict[str, int] = await answer.json()
            return told

    async def fault(self, **fault: Any) -> None:
        async with direct_session() as session, session.post(f"{self.url}/fault", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def reset(self) -> None:
        async with direct_session() as session:
            await session.delete(f"{self.url}/fault")

    async def until(self, timeout_s: float = 5, **wanted: int) -> dict[str, int]:
        """Waits until these counters have these values."""
        async with asyncio.timeout(timeout_s):
            while not wanted.items() <= (stats := await self.stats()).items():  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.02)
            return stats


class Front:
    """A running gateway and a client of it."""

    def __init__(self, server: GatewayServer, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session
        self.url = f"http://{HOST}:{server.port}"

    async def ask(self, path: str = "/v1/completions", **fields: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, JSON and the response itself of a POST to the model `m`."""
        body = {"model": "m", "prompt": "hello", "max_tokens": 4, **fields}
        async with self.session.post(path, json=body) as answer:
            return answer.status, await answer.json(), answer

    async def stream(self, path: str = "/v1/completions", **fields: Any) -> bytes:
        """All bytes of a stream. Raises aiohttp.ClientError where it is cut."""
        body = {"model": "m", "prompt": "hello", "max_tokens": 4, "stream": True, **fields}
        async with self.session.post(path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def idle(self) -> None:
        """Waits until nothing is booked and nobody waits; fails after five seconds."""
        async with asyncio.timeout(5):
            while any(self.booked()):  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.01)

    def booked(self) -> list[float]:
        """Requests waiting, and requests and work open on each replica."""
        models = self.server.state.directory.models
        tables = [served.router.table for served in models]
        waiting = float(sum(served.admission.waiting for served in models))
        return [
            waiting,
            *(float(n) for t in tables for c in (t.open_requests, t.open_tokens, t.waiting_work) for n in c.flat),
        ]


@asynccontextmanager
async def front(fleet: Fleet, replicas: Sequence[ReplicaInfo]) -> AsyncIterator[Front]:
    """A gateway over `replicas`; at the end nothing may be left booked."""
    server = GatewayServer(with_secrets(fleet))
    await server.start()
    server.update(replicas)
    try:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(f"http://{HOST}:{server.port}", timeout=timeout) as session:
            made = Front(server, session)
            yield made
            await made.idle()
    finally:
        await server.stop()
