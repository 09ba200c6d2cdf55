"""One connection to a replica, fed with bytes by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.proxy.upstream import connection as upstream_connection

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_an_answer_is_the_same_however_the_network_cuts_it(content: bytes, cuts: Sequence[int]) -> None:
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(content[i : i + 50]), content[i : i + 50])
        for i in range(0, 400, 50)
        if content[i : i + 50]
    )
    wire = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunks + b"0\r\n\r\n"

    async def run() -> None:
        connection = upstream_connection.UpstreamConnection()
        connection.connection_made(Written())
        sending = asyncio.create_task(connection.send(b"", b""))
        await asyncio.sleep(0)
        position = 0
        for cut in [*cuts, len(wire)]:
            connection.data_received(wire[position : position + cut]) if position < len(wire) else None
            position += cut
        head = await sending
        assert (head.status, head.content_type) == (200, "text/event-stream")
        got = b""
        while piece := await connection.read():
            got += piece
        assert got == content
        assert connection.reusable

    asyncio.run(run())


class Written(asyncio.Transport):
    """A transport that keeps nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=12), st.integers(1, 5))
def test_a_poured_answer_reaches_its_taker_whole_and_in_order_however_slow_that_is(
    pieces: Sequence[bytes], keeps_up_for: int
) -> None:
    got: list[bytes] = []
    drained = 0

    def take(piece: bytes) -> bool:
        got.append(piece)
        return len(got) % keeps_up_for != 0

    async def drain() -> None:
        nonlocal drained
        drained += 1
        await asyncio.sleep(0)

    async def run() -> None:
        connection = upstream_connection.UpstreamConnection()
        connection.connection_made(Written())
        sending = asyncio.create_task(connection.send(b"", b""))
        await asyncio.sleep(0)
        connection.data_received(CHUNKED)
        await sending
        pouring = asyncio.create_task(connection.pour(take, drain))
        for number, piece in enumerate(pieces):
            connection.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
            if number % 2:
                await asyncio.sleep(0)
        connection.data_received(b"0\r\n\r\n")
        await pouring
        assert b"".join(got) == b"".join(pieces)
        assert drained == len(got) // keeps_up_for
        assert connection.reusable

    asyncio.run(run())
