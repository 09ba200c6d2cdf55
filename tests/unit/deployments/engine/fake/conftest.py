from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientError
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deployments.engine.fake.config import FakeConfig
from deployments.engine.fake.engine import ENGINE, Engine
from deployments.engine.fake.server import make_app


class FakeServer:
    """A fake engine on a port of this machine, and a client of it."""

    def __init__(self, client: TestClient[Request, Application], engine: Engine) -> None:
        self.client = client
        self.engine = engine

    async def post(self, path: str, body: Any) -> Any:
        """The JSON answer; fails on an error status."""
        async with self.client.post(path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def error(self, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Status and error object of a request that fails."""
        async with self.client.post(path, **request) as response:
            body = await response.json()
            assert list(body) == ["error"]
            assert body["error"]["code"] == response.status
            return response.status, body["error"]

    async def events(self, path: str, **request: Any) -> list[Any]:
        """The `data:` payloads of a stream, parsed; the last one of most is `[DONE]`."""
        async with self.client.post(path, **request) as response:
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            return parsed_events((await response.read()).decode())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits for the engine to be in some state; fails after five seconds."""
        for _ in range(2500):
            if reached():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"not reached: {self.engine.batch.counters}")

    async def broken(self, path: str, body: Any) -> str:
        """What arrives of a stream that breaks; fails where it ends as it should."""
        received = ""
        with suppress(ClientError):
            async with self.client.post(path, json=body) as response:
                while data := await response.content.readany():
                    received += data.decode()
                raise AssertionError("the stream ended in order")
        return received

    async def idle(self) -> None:
        """Waits until no sequence is live, then checks that nothing was lost."""
        batch = self.engine.batch
        await self.until(lambda: not batch.live)
        self.engine.blocks.check([])
        assert self.engine.blocks.in_use == 0
        assert batch.counters.accepted == batch.counters.finished + batch.counters.aborted


def parsed_events(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    lines = [line for frame in text[:-2].split("\n\n") for line in frame.split("\n")]
    payloads = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


Serve = Callable[..., Awaitable[FakeServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts fake engines: `await serve(task="chat", slots=8, decode_step_s=0)`; they stop with the test."""
    clients: list[TestClient[Request, Application]] = []

    async def start(
        task: str = "chat",
        slots: int = 8,
        caches: bool = True,
        names: tuple[str, ...] = ("fake", "alias"),
        **speed: Any,
    ) -> FakeServer:
        settings = {"decode_step_s": 0, "prefill_tokens_per_s": 1e9, **speed}
        config = FakeConfig.model_validate(
            {"names": names, "task": task, "checkpoint": "none", "slots": slots, "caches": caches, "speed": settings}
        )
        server: TestServer = TestServer(make_app(config))
        await server.start_server()
        client: TestClient[Request, Application] = TestClient(server)
        clients.append(client)
        return FakeServer(client, server.app[ENGINE])

    yield start
    for client in clients:
        await client.close()
