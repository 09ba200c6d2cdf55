"""A TCP relay before an engine, which breaks off answers on demand: what a client meets where a replica dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.support.engine_keys import engine_keys
from tests.support.processes import HOST

FRAME_END = b"\n\n"


class Relay:
    """`cut_after`: how many frames the next streams let through, one stream each; a stream beyond them goes whole."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._url, self._target = target, (address.hostname, address.port)
        self._ends: set[asyncio.StreamWriter] = set()
        self.cut_after: list[int] = []
        self.url = ""

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_engine, to_engine = await asyncio.open_connection(*self._target)
        self._ends |= {writer, to_engine}
        try:
            asking = asyncio.create_task(self._pass(reader, to_engine))
            await self._answers(from_engine, writer)
        finally:
            asking.cancel()
            for end in (writer, to_engine):
                self._ends.discard(end)
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """With the engine's key in the place of the relay's: each address has its own."""
        sent, wanted = (engine_keys().headers(url)["Authorization"].encode() for url in (self.url, self._url))
        while piece := await reader.read(65536):
            writer.write(piece.replace(sent, wanted))
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        while piece := await reader.read(65536):
            if left is None and b"text/event-stream" in piece:
                left = self.cut_after.pop(0) if self.cut_after else None
            if left is not None:
                piece, left = _frames(piece, left)
            writer.write(piece)
            await writer.drain()
            if left is not None and left <= 0:
                await asyncio.sleep(0.05)  # what was written is read before the connection breaks
                return


def _frames(piece: bytes, most: int) -> tuple[bytes, int]:
    """The piece up to the end of its last frame that is let through, and how many are left after it."""
    found = piece.count(FRAME_END)
    if found < most:
        return piece, most - found
    after = piece.split(FRAME_END, most)[-1]
    return piece[: len(piece) - len(after)], 0


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    made = Relay(target)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            await made.connection(reader, writer)

    server = await asyncio.start_server(connected, HOST, 0)
    made.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for end in list(made._ends):
            end.transport.abort()
