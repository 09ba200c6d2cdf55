"""Whatever an engine answers, the gateway stays within its bounds, and its client's connection stays in step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from deployments.gateway.proxy.attempt import Attempt
from deployments.gateway.proxy.usage import AnswerUsage
from tests.support.front import Front, front
from tests.support.processes import HOST, fake_fleet, fake_pool, replica_info

MIB = 2**20
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
TOKEN = {"index": 0, "text": "a", "finish_reason": None, "prompt_token_ids": [1], "token_ids": [2]}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload: object) -> bytes:
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


FIRST = event(json.dumps({"id": "c", "created": 1, "model": "m", "choices": [TOKEN]}, separators=(",", ":")).encode())
DONE = event(b"[DONE]")


@asynccontextmanager
async def gateway_over(*pieces: bytes, endless: bytes = b"", then_close: bool = False) -> AsyncIterator[Front]:
    """A gateway over one engine that answers every request with these bytes, and then `endless` for ever."""
    ended = asyncio.Event()
    ended.set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET /health "):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
                await reader.readexactly(length)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                while endless:
                    writer.write(endless)
                    await writer.drain()
                if then_close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    engine = await asyncio.start_server(answer, HOST, 0)
    pool = fake_pool()
    url = f"http://{HOST}:{engine.sockets[0].getsockname()[1]}"
    fleet = fake_fleet(pool, max_answer_bytes=MIB, attempts=1)
    try:
        async with front(fleet, [replica_info(url, pool)]) as gateway:
            yield gateway
            async with asyncio.timeout(5):
                await gateway.idle()
            assert gateway.server.state.bytes.in_flight == 0
    finally:
        engine.close()


async def stream(gateway: Front) -> tuple[int, bytes]:
    body = {"model": "m", "prompt": "hello", "max_tokens": 4, "stream": True}
    async with asyncio.timeout(20), gateway.session.post("/v1/completions", json=body) as answer:
        return answer.status, await answer.read()


async def test_a_whole_answer_that_is_too_long_is_refused_and_not_held() -> None:
    async with gateway_over(JSON, endless=chunk(b" " * 2**16)) as gateway:
        status, body, answer = await gateway.ask()
        assert (status, body["error"]["code"]) == (502, "answer_too_large")
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("before", [(), (chunk(FIRST),)], ids=["at once", "after a token"])
async def test_a_stream_whose_event_does_not_end_is_ended_with_an_error(before: Iterable[bytes]) -> None:
    async with gateway_over(SSE, *before, endless=chunk(b"x" * 2**16)) as gateway:
        status, body = await stream(gateway)
        assert status == 200
        assert b"max_answer_bytes" in body.rpartition(b'data: {"error"')[2]


@pytest.mark.parametrize(
    "endless",
    [b"A: " + b"x" * 2**16, b"A: b\r\n" * 1000],
    ids=["one long trailer", "many trailers"],
)
async def test_a_stream_that_ends_in_endless_trailers_is_ended_with_an_error(endless: bytes) -> None:
    async with gateway_over(SSE, chunk(FIRST), b"0\r\n", endless=endless) as gateway:
        assert b'data: {"error"' in (await stream(gateway))[1]


@pytest.mark.parametrize("field", [b'"token_ids":[', b'"prompt_token_ids":['])
async def test_a_stream_that_was_cut_after_ids_that_are_no_numbers_is_ended_with_an_error(field: bytes) -> None:
    async with gateway_over(SSE, chunk(FIRST.replace(field, field + b"x")), then_close=True) as gateway:
        body = (await stream(gateway))[1]
        assert b"token ids that are no numbers" in body
        assert b"HTTP/1.1" not in body


async def test_a_failure_after_the_end_of_a_stream_adds_no_second_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError("not foreseen")

    monkeypatch.setattr(Attempt, "settle", fail)
    async with gateway_over(SSE, chunk(FIRST + DONE), END) as gateway:
        for _ in range(3):  # on one connection
            status, body = await stream(gateway)
            assert status == 200
            assert body.endswith(b"data: [DONE]\n\n")


async def test_a_failure_within_a_stream_ends_it_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise LookupError("not foreseen")

    monkeypatch.setattr(AnswerUsage, "take_frames", fail)
    async with gateway_over(SSE, chunk(FIRST + DONE), END) as gateway:
        for _ in range(2):
            body = (await stream(gateway))[1]
            assert json.loads(body.removeprefix(b"data: "))["error"]["code"] == "internal"


async def test_events_whose_lines_end_as_http_ones_do_pass_as_they_come() -> None:
    events = [event({"choices": [{"text": text}]}).replace(b"\n", b"\r\n") for text in "ab"]
    pieces = [chunk(piece) for one in events for piece in (one[:-3], one[-3:-2], one[-2:])]
    async with gateway_over(SSE, *pieces) as gateway:
        body = {"model": "m", "prompt": "hello", "stream": True}
        async with asyncio.timeout(5), gateway.session.post("/v1/completions", json=body) as answer:
            seen = b""
            while seen.count(b"\n\n") < 2:
                seen += await answer.content.readany()
        assert b"\r" not in seen
