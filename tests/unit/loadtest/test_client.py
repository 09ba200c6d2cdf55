from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadtest import client
from loadtest.benchmarks.gpt_oss import GptOss, decode_tokens
from loadtest.client import Call, Outcome, ask

REPLY = json.dumps({"choices": [{"text": "hi", "token_ids": [5, 200_002]}]})
Ask = Callable[..., Awaitable[tuple[Outcome, int]]]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    """Asks a server that gives these (status, body) replies in turn, each with the same headers.

    Gives the outcome and the requests it took.
    """
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.001)
    servers: list[TestServer] = []

    async def run(replies: list[tuple[int, str]], **headers: str) -> tuple[Outcome, int]:
        left = list(replies)

        async def handle(request: web.Request) -> web.Response:
            await request.read()
            status, text = left.pop(0)
            return web.Response(status=status, text=text, headers={"x-pool": "amd", **headers})

        app = web.Application()
        app.router.add_post("/v1/completions", handle)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        call = Call(str(server.make_url("/v1/completions")), {"Content-Type": "application/json"}, 5, 3)
        async with aiohttp.ClientSession() as session:
            outcome = await ask(session, call, GptOss(), 4, 9, b"{}")
        return outcome, len(replies) - len(left)

    yield run
    for server in servers:
        await server.close()


async def test_an_answer(asked: Ask) -> None:
    outcome, requests = await asked([(200, REPLY)])
    assert requests == 1
    assert outcome.answer is not None
    assert decode_tokens(outcome.answer.data) == [5, 200_002]
    assert (outcome.place, outcome.index, outcome.attempts, outcome.error, outcome.pool) == (4, 9, 1, "", "amd")
    assert outcome.started <= outcome.finished


@pytest.mark.parametrize(
    "passing", [(503, "busy"), (429, "slow down"), (200, "{}"), (200, '{"choices":[{"text":"x"}]}')]
)
async def test_what_may_pass_is_tried_again(asked: Ask, passing: tuple[int, str]) -> None:
    outcome, requests = await asked([passing, (200, REPLY)])
    assert outcome.answer is not None
    assert (requests, outcome.attempts) == (2, 2)


async def test_a_bad_request_is_not_repeated(asked: Ask) -> None:
    outcome, requests = await asked([(400, "prompt too long"), (200, REPLY)])
    assert requests == 1
    assert outcome.answer is None
    assert outcome.error == "status 400: prompt too long"


async def test_attempts_are_bounded(asked: Ask) -> None:
    outcome, requests = await asked([(500, "a"), (500, "b"), (500, "c"), (200, REPLY)])
    assert (requests, outcome.attempts, outcome.answer, outcome.error) == (3, 3, None, "status 500: c")


async def test_waiting_for_room_is_no_failure(asked: Ask) -> None:
    outcome, requests = await asked([(429, "full")] * 7 + [(200, REPLY)], **{"Retry-After": "0"})
    assert (requests, outcome.attempts, outcome.error) == (8, 8, "")
    assert outcome.answer is not None


async def test_room_is_waited_for_as_long_as_told(asked: Ask) -> None:
    outcome, requests = await asked([(429, "full"), (200, REPLY)], **{"Retry-After": "1"})
    assert requests == 2
    assert 1 <= outcome.finished - outcome.started < 5


@pytest.mark.parametrize("told", ["9", "soon", "-1"])
async def test_a_wait_beyond_the_timeout_is_a_failure(told: str, asked: Ask) -> None:
    outcome, requests = await asked([(429, "full")] * 4, **{"Retry-After": told})
    assert (requests, outcome.answer, outcome.error) == (3, None, "status 429: full")


async def test_a_refusal_is_kept(asked: Ask) -> None:
    outcome, _ = await asked([(503, "busy"), (400, '{"error": 1}')], **{"x-request-id": "r7"})
    assert (outcome.status, outcome.request_id, outcome.refusal) == (400, "r7", b'{"error": 1}')
    answered, _ = await asked([(503, "busy"), (200, REPLY)])
    assert (answered.status, answered.request_id, answered.refusal) == (200, "", b"")


async def test_nothing_listens() -> None:
    call = Call("http://127.0.0.1:1/v1/completions", {}, 5, 1)
    async with aiohttp.ClientSession() as session:
        outcome = await ask(session, call, GptOss(), 0, 0, b"{}")
    assert (outcome.answer, outcome.status, outcome.refusal) == (None, 0, b"")
    assert "Cannot connect" in outcome.error
