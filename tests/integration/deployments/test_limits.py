"""Limits of the gateway itself: bytes in flight, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from tests.support.front import Engine, Front, front
from tests.support.processes import HOST, fake_engine, fake_fleet, fake_pool, replica_info

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MIB = 2**20


def post(path: str, length: int, body: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


async def read_to_end(client: socket.socket) -> bytes:
    """What still comes, until the connection is closed or broken."""
    received = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            while piece := await asyncio.get_running_loop().sock_recv(client, MIB):
                received += piece
    return received


async def test_a_client_that_does_not_read_is_cut_off_and_its_engines_work_ends() -> None:
    pool = fake_pool(decode_step_s=0.0002)
    with fake_engine(pool) as url:
        engine = Engine(url, pool)
        async with front(fake_fleet(pool, write_timeout_s=0.5), [engine.announced()]) as gateway:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (HOST, gateway.server.port))
            body = json.dumps({"model": "m", "prompt": "hello", "max_tokens": 120_000, "stream": True}).encode()
            await loop.sock_sendall(client, post(COMPLETIONS, len(body), body))
            await engine.until(running=1)
            await engine.until(timeout_s=30, running=0)
            assert (await engine.stats())["aborted"] == 1
            await gateway.idle()
            assert not (await read_to_end(client)).endswith(b"0\r\n\r\n"), "what it has is not a whole answer"
            client.close()


@pytest.mark.parametrize(
    "ending", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"], ids=["kept open", "closed"]
)
async def test_a_connection_on_which_nobody_reads_answers_is_cut_off(ending: bytes) -> None:
    async with front(fake_fleet(write_timeout_s=0.3), []) as gateway:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (HOST, gateway.server.port))
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    await loop.sock_sendall(client, b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 100 + ending)
        client.close()


async def test_a_whole_answer_counts_until_it_was_sent() -> None:
    text = b"x" * 8 * MIB

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()
        writer.close()

    engine, pool = await asyncio.start_server(answer, HOST, 0), fake_pool()
    url = f"http://{HOST}:{engine.sockets[0].getsockname()[1]}"
    async with front(fake_fleet(pool, write_timeout_s=0.5), [replica_info(url, pool)]) as gateway:
        reader, writer = await asyncio.open_connection(HOST, gateway.server.port, limit=2**10)
        writer.write(post(COMPLETIONS, 27, b'{"model":"m","prompt":"hi"}'))
        await reader.readuntil(b"\r\n\r\n")
        await gateway.idle()
        assert gateway.server.state.bytes.in_flight >= 7 * MIB, "the booking has ended, the answer is still there"
        async with asyncio.timeout(20):
            while gateway.server.state.bytes.in_flight:  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.02)
        writer.close()
    engine.close()


async def test_a_stream_ends_with_its_connection_for_a_client_of_http_1_0(two: Front) -> None:
    reader, writer = await asyncio.open_connection(HOST, two.server.port)
    body = b'{"model":"m","prompt":"hi","stream":true}'
    asked = post(COMPLETIONS, len(body), body).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")
    writer.write(asked)
    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b"data: [DONE]\n\n")
    writer.close()


async def test_a_slow_reader_that_goes_on_reading_gets_all_of_its_stream(engines: tuple[Engine, Engine]) -> None:
    engine = engines[0]
    async with front(fake_fleet(engine.pool, write_timeout_s=0.5), [engine.announced()]) as gateway:
        reader, writer = await asyncio.open_connection(HOST, gateway.server.port, limit=2**10)
        body = json.dumps({"model": "m", "prompt": "hello", "max_tokens": 400, "stream": True}).encode()
        writer.write(post(COMPLETIONS, len(body), body))
        seen = b""
        while not seen.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            seen += await asyncio.wait_for(reader.read(4096), 10)
            await asyncio.sleep(0.02)
        assert seen.count(b'"text"') == 400
        writer.close()


async def test_over_the_bytes_in_flight_a_body_is_refused_before_it_is_read(engines: tuple[Engine, Engine]) -> None:
    engine = engines[0]
    fleet = fake_fleet(engine.pool, max_bytes_in_flight=2 * MIB)
    async with front(fleet, [engine.announced()]) as gateway:
        _, slow_writer = await asyncio.open_connection(HOST, gateway.server.port)
        slow_writer.write(post(CHAT, MIB + 1, b"{"))
        await slow_writer.drain()
        async with asyncio.timeout(5):
            while gateway.server.state.bytes.in_flight <= MIB:  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.005)
        reader, writer = await asyncio.open_connection(HOST, gateway.server.port)
        writer.write(post(CHAT, MIB))
        answer = await asyncio.wait_for(reader.read(2**16), 5)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"max_bytes_in_flight" in answer
        assert (await gateway.ask())[0] == 200, "small requests still have room"
        for open_writer in (writer, slow_writer):
            open_writer.close()
            with suppress(ConnectionError):
                await open_writer.wait_closed()
        async with asyncio.timeout(5):
            while gateway.server.state.bytes.in_flight:  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.005)
        assert (await gateway.ask(prompt="hello " * 200_000))[0] == 400, "what was taken is there again"


async def test_the_budget_is_whole_again_after_every_kind_of_answer(two: Front) -> None:
    assert (await two.ask(prompt="x" * 10_000))[0] == 200
    assert (await two.ask(model="nope", prompt="x" * 10_000))[0] == 404
    assert b"[DONE]" in await two.stream(prompt="x" * 10_000)
    async with two.session.post(CHAT, data=b"{" * 5000) as answer:
        assert answer.status == 400
    assert two.server.state.bytes.in_flight == 0
