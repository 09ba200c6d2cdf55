"""The client of replicas against servers that answer with exactly the bytes of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from deployments.gateway.proxy.upstream import connection as upstream_connection
from deployments.gateway.proxy.upstream import connection_pool
from deployments.gateway.proxy.upstream.connection import UpstreamLost
from deployments.gateway.proxy.upstream.http_client import HttpClient, Unreachable, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts connections, keeps the requests, and lets `answer` write."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.ended: list[asyncio.Event] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ended = asyncio.Event()
        self.ended.append(ended)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                self.requests.append(head + body)
                await self._answer(head + body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            ended.set()
            writer.close()


@asynccontextmanager
async def server(answer: Answering) -> AsyncIterator[tuple[Server, HttpClient]]:
    served = Server(answer)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    client = HttpClient(5.0, None)
    try:
        yield served, client
    finally:
        client.close()
        listening.close()
        await asyncio.gather(*(ended.wait() for ended in served.ended))


def saying(*pieces: bytes, then_close: bool = False) -> Answering:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            writer.close()

    return answer


async def ask(served: Server, client: HttpClient, body: bytes = b"{}") -> tuple[int, str, bytes]:
    answer = await client.send("POST", served.url, "/v1/x", {"A": "b"}, body)
    try:
        return answer.status, answer.content_type, await answer.whole(2**20)
    finally:
        answer.close()


async def test_whole_answers_use_one_connection_in_turn() -> None:
    async with server(saying(OK)) as (served, client):
        for _ in range(5):
            assert await ask(served, client) == (200, "application/json", b"{}")
        assert served.connections == 1
        assert served.requests[0] == b"POST /v1/x HTTP/1.1\r\nHost: " + served.url[7:].encode() + (
            b"\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
        )


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async def slowly(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with server(slowly) as (served, client):
        answers = await asyncio.gather(*(ask(served, client) for _ in range(4)))
        assert [body for _, _, body in answers] == [b"{}"] * 4
        assert served.connections == 4


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
        CHUNKED + b"5\r\nhel",
        b"220 smtp.example ESMTP\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["nothing", "half a head", "a short body", "half a chunk", "no HTTP", "upgrade", "a bad chunk", "099", "600"],
)
async def test_answers_that_break_off_or_are_no_http_are_lost(wire: bytes) -> None:
    async with server(saying(wire, then_close=True)) as (served, client):
        with pytest.raises(UpstreamLost):
            await ask(served, client)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with server(saying(b"HTTP/1.1 200 OK\r\n\r\nall of it", then_close=True)) as (served, client):
        assert await ask(served, client) == (200, "", b"all of it")
        assert await ask(served, client) == (200, "", b"all of it")
        assert served.connections == 2


@pytest.mark.parametrize(
    "end", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", OK + b"HTTP/1.1 200"]
)
async def test_no_request_follows_on_a_connection_that_is_to_be_closed_or_says_too_much(end: bytes) -> None:
    async with server(saying(end)) as (served, client):
        for _ in range(2):
            assert (await ask(served, client))[2] == b"{}"
        assert served.connections == 2


async def test_closing_an_answer_that_is_not_whole_ends_its_connection() -> None:
    async with server(saying(CHUNKED + b"2\r\nhi\r\n")) as (served, client):
        answer = await client.send("POST", served.url, "/", {}, b"{}")
        assert await answer.read() == b"hi"
        answer.close()
        answer.close()
        async with asyncio.timeout(5):
            await served.ended[0].wait()


async def test_a_cancelled_request_ends_its_connection() -> None:
    async with server(saying()) as (served, client):
        asking = asyncio.create_task(ask(served, client))
        while not served.requests:  # noqa: ASYNC110  # the server's own loop
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5):
            await served.ended[0].wait()


async def test_idle_connections_are_closed_before_the_server_would_close_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "KEEPALIVE_S", 0.05)
    async with server(saying(OK)) as (served, client):
        await ask(served, client)
        async with asyncio.timeout(5):
            await served.ended[0].wait()
        await ask(served, client)
        assert served.connections == 2


async def test_a_long_head_is_refused_and_reading_stops_where_nobody_takes_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with server(saying(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000)) as (served, client):
        with pytest.raises(UpstreamLost, match="longer than"):
            await ask(served, client)

    written = 0

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(CHUNKED)
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            written += 0x10000

    async with server(endless) as (served, client):
        answer = await client.send("POST", served.url, "/", {}, b"{}")
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.2)
        buffered = len(await answer.read())
        assert buffered <= upstream_connection.MOST_BUFFERED_BYTES + 2**20
        assert await answer.read()
        answer.close()


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (CHUNKED + b"1\r\na\r\n0\r\n", b"A: b\r\n" * 1000),
        (CHUNKED + b"1;", b"e" * 2**16),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    ids=["trailers", "a chunk's extension", "announcements"],
)
async def test_an_answer_that_goes_on_without_a_body_is_lost(begin: bytes, endless: bytes) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(endless)
            await writer.drain()

    async with asyncio.timeout(10), server(answer) as (served, client):
        with pytest.raises(UpstreamLost, match="bytes"):
            await ask(served, client)


async def test_what_follows_an_answer_is_no_part_of_it() -> None:
    second = b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nsmuggled!"
    async with server(saying(OK + second)) as (served, client):
        for _ in range(2):
            assert await ask(served, client) == (200, "application/json", b"{}")
        assert served.connections == 2


async def test_headers_of_an_announcement_are_not_the_answers() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nContent-Type: text/event-stream\r\nContent-Length: 7\r\n\r\n"
    async with server(saying(early + b"HTTP/1.1 200 OK\r\n\r\nall", then_close=True)) as (served, client):
        assert await ask(served, client) == (200, "", b"all")


async def test_an_early_answer_ends_the_sending_of_a_long_body() -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(2**16)
            await asyncio.sleep(0)

    listening = await asyncio.start_server(refusing, "127.0.0.1", 0)
    client = HttpClient(5.0, None)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(10):
        answer = await client.send("POST", url, "/", {}, body(), 1000 * 2**16)
        assert (answer.status, await answer.whole(100)) == (413, b"big")
    answer.close()
    client.close()
    listening.close()
    assert sent < 1000


async def test_nobody_who_listens_is_told_apart_from_nobody_who_answers() -> None:
    client = HttpClient(5.0, None)
    with pytest.raises(Unreachable) as refused:
        await client.send("GET", "http://127.0.0.1:1", "/health", {})
    assert refused.value.in_time
    client.close()


def test_a_header_cannot_begin_another_line() -> None:
    assert request_head("GET", "/", "h:1", {}, 0) == b"GET / HTTP/1.1\r\nHost: h:1\r\n\r\n"
    for value in ("a\r\nB: c", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="line end"):
            request_head("POST", "/", "h", {"A": value}, 0)


@pytest.mark.parametrize("url", ["ftp://h", "h:80", "http://", "http://[::1"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    client = HttpClient(1.0, None)
    with pytest.raises(ValueError, match="URL"):
        await client.send("GET", url, "/", {})


async def test_addresses_of_both_families_have_their_authority() -> None:
    origin = connection_pool.origin_of("https://[::1]:8443")
    assert (origin.host, origin.port, origin.encrypted, origin.authority) == ("::1", 8443, True, "[::1]:8443")
    assert connection_pool.origin_of("http://host").port == 80


async def test_what_the_taker_raises_ends_the_pouring() -> None:
    def refuse(_: bytes) -> bool:
        raise LookupError("not this")

    async def never() -> None:
        raise AssertionError

    async with server(saying(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n")) as (served, client):
        answer = await client.send("POST", served.url, "/", {}, b"")
        with pytest.raises(LookupError):
            await answer.pour(refuse, never)
        answer.close()


async def test_pouring_ends_with_an_error_where_the_answer_breaks_off_and_nothing_that_came_is_lost() -> None:
    got: list[bytes] = []

    async def never() -> None:
        raise AssertionError

    async with server(saying(CHUNKED + b"1\r\na\r\n2\r\nb", then_close=True)) as (served, client):
        answer = await client.send("POST", served.url, "/", {}, b"")
        with pytest.raises(UpstreamLost):
            await answer.pour(lambda piece: not got.append(piece), never)  # type: ignore[func-returns-value]
        answer.close()
    assert b"".join(got) == b"ab"
