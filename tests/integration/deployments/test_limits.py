"""Limits of the gateway itself: bytes in flight, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

from tests.support.front import Engine, Front, front
from tests.support.processes import HOST, fake_engine, fake_fleet, fake_pool

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
