from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.engine.access.aiohttp_server import engine_access
from deployments.registry.probe import answering
from tests.support.engine_keys import engine_keys, with_secrets
from tests.support.processes import fake_fleet

FLEET = with_secrets(fake_fleet())


@asynccontextmanager
async def server(seen: list[web.Request], guarded: bool = True, status: int = 200) -> AsyncIterator[str]:
    async def health(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(status=status)

    app = web.Application(middlewares=[engine_access(engine_keys())] if guarded else [])
    app.router.add_get("/health", health)
    async with TestServer(app) as started:
        yield str(started.make_url("")).rstrip("/")


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, False)])
async def test_an_engine_is_alive_where_its_health_is_good(status: int, alive: bool) -> None:
    async with server([], status=status) as url:
        assert await answering(FLEET, [url]) == ({url} if alive else set())


async def test_a_server_that_listens_where_an_engine_was_is_no_engine_and_sees_no_key() -> None:
    seen: list[web.Request] = []
    async with server(seen, guarded=False) as url:
        assert await answering(FLEET, [url]) == set()
    assert seen
    assert not any("Authorization" in request.headers for request in seen)


async def test_where_nobody_listens_there_is_no_engine() -> None:
    assert await answering(FLEET, ["http://127.0.0.1:1"]) == set()
