"""The client against a server that answers whatever a test wants."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from loadtest.replay.client import BROKEN, CUT, NO_ANSWER, TIMED_OUT, Reply, Sending, ask

TOKEN = b'data: {"choices": [{"text": "a"}]}\n\n'
USAGE = (
    b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, '
    b'"prompt_tokens_details": {"cached_tokens": 4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def server(pieces: Sequence[bytes | None], status: int = 200) -> AsyncIterator[str]:
    """Answers every POST with these pieces; None cuts the connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        if status != 200:
            return web.Response(status=status, body=b"".join(piece or b"" for piece in pieces))
        response = web.StreamResponse(headers={"x-replica": "r", "x-pool": "p"})
        await response.prepare(request)
        for piece in pieces:
            if piece is None:
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def reply(pieces: Sequence[bytes | None], status: int = 200, timeout_s: float = 5) -> Reply:
    async with server(pieces, status) as url, aiohttp.ClientSession() as session:
        return await ask(session, Sending(url, {}, b"{}", timeout_s))


async def test_a_whole_answer() -> None:
    got = await reply([TOKEN, TOKEN, USAGE, DONE])
    assert (got.failure, got.frames, got.replica, got.pool) == ("", 2, "r", "p")
    assert (got.input_tokens, got.output_tokens, got.cached_tokens) == (7, 3, 4)
    assert got.first_s < got.end_s


async def test_events_may_be_cut_anywhere() -> None:
    whole = TOKEN + TOKEN + USAGE + DONE
    for place in range(1, len(whole), 7):
        got = await reply([whole[:place], whole[place:]])
        assert (got.failure, got.frames, got.output_tokens) == ("", 2, 3)


async def test_the_last_line_needs_no_end() -> None:
    assert (await reply([TOKEN, USAGE, DONE.strip()])).failure == ""
    assert (await reply([TOKEN, b'data: {"error": "late"}'])).detail == "late"


async def test_carriage_returns_comments_and_no_usage() -> None:
    got = await reply([b": hello\r\n\r\n" + TOKEN.replace(b"\n", b"\r\n"), DONE])
    assert (got.failure, got.frames, got.output_tokens, got.input_tokens) == ("", 1, None, None)


@pytest.mark.parametrize(
    ("pieces", "failure", "detail"),
    [
        ([TOKEN, None], CUT, "Client"),
        ([TOKEN, USAGE], CUT, "without its last event"),
        ([TOKEN, b'data: {"error": {"message": "replica died"}}\n\n', DONE], CUT, "replica died"),
        ([b'data: {"error": {"message": "no"}}\n\n'], BROKEN, "no"),
        ([b"data: {oops\n\n", DONE], BROKEN, "no JSON"),
    ],
)
async def test_answers_that_are_not_whole(pieces: list[bytes | None], failure: str, detail: str) -> None:
    got = await reply(pieces)
    assert got.failure == failure
    assert detail in got.detail


async def test_a_refusal_keeps_its_status_and_a_little_of_its_text() -> None:
    got = await reply([b'{"error": "busy"}' + b"x" * 1000], status=429)
    assert (got.failure, len(got.detail), got.frames) == ("429", 300, 0)
    assert math.isnan(got.first_s)
    assert not math.isnan(got.end_s)


async def test_nobody_answers() -> None:
    async with server([]) as url:
        pass
    async with aiohttp.ClientSession() as session:
        got = await ask(session, Sending(url, {}, b"{}", 5))
    assert got.failure == NO_ANSWER


async def test_an_answer_that_takes_too_long() -> None:
    got = await reply([TOKEN] * 100, timeout_s=0.2)
    assert (got.failure, got.detail) == (TIMED_OUT, "no whole answer within 0.2 s")
