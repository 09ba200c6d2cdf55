"""The fake engine's server and the sessions that talk to it, both with the rule."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.engine.access.aiohttp_server import engine_access
from deployments.engine.access.client import engine_session
from tests.support.engine_keys import direct_session, engine_keys

TIMEOUT = aiohttp.ClientTimeout(total=10)


async def _reached(request: web.Request) -> web.Response:
    return web.json_response({"reached": await request.text()})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application(middlewares=[engine_access(engine_keys())])
    app.router.add_route("*", "/health", _reached)
    app.router.add_post("/v1/completions", _reached)
    app.router.add_get("/docs", _reached)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/health", "/docs", "/v1/completions", "/nothing"])
async def test_without_the_key_every_answer_is_401(url: str, method: str, path: str) -> None:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.request(method, url + path) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == "invalid_engine_key"


async def test_a_session_of_the_fleet_sends_the_key_with_every_request(url: str) -> None:
    async with direct_session(url) as session:
        async with session.get("/health") as answer:
            assert answer.status == 200
        async with session.post("/v1/completions", data="body") as answer:
            assert await answer.json() == {"reached": "body"}
        async with session.options("/health") as answer:
            assert answer.status == 404
        async with session.get("/docs") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "route_not_offered")


async def test_two_keys_at_once_are_none(url: str) -> None:
    key = engine_keys().headers()["Authorization"]
    headers = [("Authorization", key), ("Authorization", key)]
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(url + "/health", headers=headers) as answer,
    ):
        assert answer.status == 401


async def test_a_websocket_is_refused(url: str) -> None:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect(url + "/health")


async def test_a_session_for_servers_without_a_key_sends_none(url: str) -> None:
    async with engine_session(None, TIMEOUT) as session, session.get(url + "/health") as answer:
        assert answer.status == 401
        assert "Authorization" not in answer.request_info.headers
