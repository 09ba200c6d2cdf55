"""Clients that close their connection in the middle of a stream or at its very end, as raw sockets do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web

from deployments.gateway.errors.http_errors import Runner
from deployments.gateway.middleware.measurement import CLIENT_LEFT
from tests.support.front import Engine, Front

RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: the kernel answers what still comes with a reset, as when a program is killed."""

LEAVINGS = 60
SHORT, LONG = 6, 5000
"""Tokens of a stream that ends before its client has left, perhaps, and of one that does not."""


async def leave(
    front: Front, at: bytes, reset: bool, tokens: int = SHORT, headers: Mapping[str, str] | None = None
) -> None:
    """Asks for a stream and closes the connection once `at` has come."""
    body = json.dumps({"model": "m", "prompt": "hello", "max_tokens": tokens, "stream": True}).encode()
    lines = {"Host": "x", "Content-Length": str(len(body)), **(headers or {})}
    head = "POST /v1/completions HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", front.server.port)) as connection:
        connection.setblocking(False)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await loop.sock_sendall(connection, head.encode() + b"\r\n" + body)
        received = b""
        while at not in received:
            piece = await loop.sock_recv(connection, 65_536)
            assert piece, received
            received += piece


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("at", [b"HTTP/1.1 200", b"data: ", b'"finish_reason":"length"', b"[DONE]"])
async def test_client_that_leaves_a_stream_is_logged_as_no_error(
    two: Front, engines: tuple[Engine, Engine], caplog: pytest.LogCaptureFixture, at: bytes, reset: bool
) -> None:
    caplog.set_level(logging.ERROR)
    for _ in range(LEAVINGS // 6):
        await asyncio.gather(*[leave(two, at, reset) for _ in range(6)])
    await two.idle()
    for engine in engines:
        await engine.until(running=0, waiting=0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_client_that_leaves_is_counted_as_one_that_left(two: Front, engines: tuple[Engine, Engine]) -> None:
    counter = two.server.state.metrics.requests.labels("/v1/completions", "m", CLIENT_LEFT)
    await asyncio.gather(*[leave(two, b"data: ", reset, LONG) for reset in (False, True) for _ in range(5)])
    await two.idle()
    assert counter._value.get() == 10
    for engine in engines:
        await engine.until(running=0, waiting=0)


async def test_write_to_a_client_that_has_just_left_is_logged_as_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The connection's loss is noted one turn of the loop after a failed write; the next write comes before it."""
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        try:
            await response.write_eof(b"the end")
        finally:
            ended.set()
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    runner = Runner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            with contextlib.suppress(aiohttp.ClientError):
                await (await session.get("/")).read()
        await ended.wait()
    finally:
        await runner.cleanup()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
