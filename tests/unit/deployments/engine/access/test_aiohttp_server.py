"""The fake engine's server and the sessions that talk to it, both with the rule."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.engine.access.aiohttp_server import engine_access
from deployments.engine.access.client import engine_session, is_own_engine
from deployments.engine.access.keys import PROOF_HEADER
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
    key = engine_keys().headers(url)["Authorization"]
    headers = [("Authorization", key), ("Authorization", key)]
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(url + "/health", headers=headers) as answer,
    ):
        assert answer.status == 401


async def test_the_key_of_another_engine_of_the_fleet_is_none(url: str) -> None:
    headers = engine_keys().headers("http://127.0.0.1:1")
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(url + "/health", headers=headers) as answer,
    ):
        assert answer.status == 401
        assert PROOF_HEADER not in answer.headers


async def test_an_engine_proves_itself_before_it_sees_a_key(url: str) -> None:
    async with engine_session(None, TIMEOUT) as keyless:
        assert await is_own_engine(keyless, engine_keys(), url)


async def test_another_server_cannot_pass_for_an_engine() -> None:
    app = web.Application()
    app.router.add_route("*", "/health", _reached)
    async with TestServer(app) as server, engine_session(None, TIMEOUT) as keyless:
        assert not await is_own_engine(keyless, engine_keys(), str(server.make_url("")).rstrip("/"))


async def test_a_server_that_passes_the_challenge_on_to_an_engine_does_not_pass_for_it(url: str) -> None:
    async def relay(request: web.Request) -> web.Response:
        async with aiohttp.ClientSession() as session, session.get(url + "/health", headers=request.headers) as answer:
            return web.Response(status=answer.status, headers={PROOF_HEADER: answer.headers[PROOF_HEADER]})

    app = web.Application()
    app.router.add_get("/health", relay)
    async with TestServer(app) as server, engine_session(None, TIMEOUT) as keyless:
        assert not await is_own_engine(keyless, engine_keys(), str(server.make_url("")).rstrip("/"))


async def test_a_websocket_is_refused(url: str) -> None:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect(url + "/health")


async def test_a_session_for_servers_without_a_key_sends_none(url: str) -> None:
    async with engine_session(None, TIMEOUT) as session, session.get(url + "/health") as answer:
        assert answer.status == 401
        assert "Authorization" not in answer.request_info.headers
