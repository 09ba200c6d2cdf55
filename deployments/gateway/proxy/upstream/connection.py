"""One HTTP/1.1 connection to a replica. It carries one request at a time, and hands its answer on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import httptools

MOST_HEAD_BYTES = 64 * 1024
"""Bytes of an answer's status line and headers; and of what comes without a byte of its body after that: trailers and
extensions of chunks."""

STATUSES = range(100, 600)
"""Those that HTTP has (RFC 9110, 15)."""

MOST_BUFFERED_BYTES = 256 * 1024
"""Bytes of an answer that nobody has taken yet, above which the connection reads no more."""


class UpstreamLost(Exception):
    """The connection ended before the answer did, or what came over it is not HTTP."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What is needed of an answer's head."""

    status: int
    content_type: str


class UpstreamConnection(asyncio.Protocol):
    """Use it as: `await send`, then `await read` until it returns nothing, or `await pour`; then it is `reusable`, or
    must be closed.

    Belongs to one event loop. One task at a time waits for it.
    """

    _parser: httptools.HttpResponseParser | None
    _head: AnswerHead | None
    _pieces: list[bytes]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._must_not_write = False
        self._reads = True
        self._sending = False
        self._failure: UpstreamLost | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._take_error: Exception | None = None
        self._begin()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether the answer was whole and another request may follow it."""
        return self._whole and self._keeps_alive and not self._sending and self.is_open

    def close(self) -> None:
        """Closes the connection, which ends the replica's work on a request that it has not answered."""
        if self._transport:
            self._transport.abort()

    async def send(self, head: bytes, body: bytes | AsyncIterator[bytes]) -> AnswerHead:
        """Sends a request and returns the head of its answer. Raises UpstreamLost.

        An answer that comes before all of an iterator's body was sent ends the sending.
        """
        self._begin()
        self._parser = httptools.HttpResponseParser(self)
        self._sending = True
        transport = self._transport
        assert transport is not None
        if isinstance(body, bytes):
            transport.write(head + body if len(body) < MOST_BUFFERED_BYTES else head)
            if len(body) >= MOST_BUFFERED_BYTES:
                transport.write(body)
            self._sending = False
        else:
            transport.write(head)
            self._sending = not await self._send_pieces(transport, body)
        while self._head is None:
            if self._failure:
                raise self._failure
            await self._wait()
        return self._head

    async def read(self) -> bytes:
        """The bytes of the answer that have come since, or the next ones; nothing at its end. Raises UpstreamLost."""
        while not self._pieces:
            if self._whole:
                return b""
            if self._failure:
                raise self._failure
            self._resume_reading()
            await self._wait()
        piece = self._taken()
        self._resume_reading()
        return piece

    async def pour(self, take: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]]) -> None:
        """Gives the rest of the answer to `take`, from within the callback that brings it. Returns at its end.

        Whenever `take` returns False nothing more is read until `drain` returns. Raises UpstreamLost, and what `take`
        and `drain` raise.
        """
        while piece := await self.read():
            if not (take(piece) and await self._pour_on(take)):
                await drain()

    async def _pour_on(self, take: Callable[[bytes], bool]) -> bool:
        """Returns at the answer's end, or False where `take` did. Raises what it raises."""
        self._take = take
        try:
            while self._take is not None and not self._whole and not self._failure:
                await self._wait()
        finally:
            keeps_up, self._take = self._take is not None, None
        if error := self._take_error:
            self._take_error = None
            raise error
        return keeps_up

    def _pour(self, take: Callable[[bytes], bool]) -> None:
        try:
            if take(self._taken()):
                return
        except Exception as error:  # it is the pouring task's
            self._take_error = error
        self._take = None
        self._pause_reading()
        self._wake()

    async def _send_pieces(self, transport: asyncio.Transport, body: AsyncIterator[bytes]) -> bool:
        async with aclosing(body) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                transport.write(piece)
                while self._must_not_write and self._head is None and not self._failure:
                    await self._wait()
                if self._head is not None or self._failure:
                    return False
        return True

    def _taken(self) -> bytes:
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _pause_reading(self) -> None:
        if self._reads and self._transport:
            self._reads = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reads and self._transport:
            self._reads = True
            self._transport.resume_reading()

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self) -> None:
        self._parser = None
        self._head = None
        self._bytes_without_body = 0
        self._has_brought_body = False
        self._content_type = b""
        self._ends_with_connection = True
        self._keeps_alive = self._whole = False
        self._pieces = []
        self._buffered = 0

    def _fail(self, reason: str) -> None:
        if self._failure is None and not self._whole:
            self._failure = UpstreamLost(reason)
        if self._transport:
            self._transport.abort()
        self._wake()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._whole:
            self._keeps_alive = False
            self._fail("the replica sent what nobody asked for")
            return
        self._has_brought_body = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the replica changed the protocol")
            return
        except httptools.HttpParserError as error:
            self._fail(f"the replica's answer is not HTTP: {type(error).__name__}")
            return
        if self._head is None:
            self._bytes_without_body += len(data)
            if self._bytes_without_body > MOST_HEAD_BYTES:
                self._fail(f"the head of the replica's answer is longer than {MOST_HEAD_BYTES} bytes")
            return
        self._bytes_without_body = 0 if self._has_brought_body else self._bytes_without_body + len(data)
        if self._bytes_without_body > MOST_HEAD_BYTES:
            self._fail(f"the replica sent more than {MOST_HEAD_BYTES} bytes without one of its answer")
        elif self._take and self._pieces:
            self._pour(self._take)
        elif self._buffered > MOST_BUFFERED_BYTES:
            self._pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head and self._ends_with_connection and exc is None and not self._failure:
            self._whole = True
        elif not self._whole and self._failure is None:
            reason = f": {exc}" if exc else ""
            self._failure = UpstreamLost(f"the connection ended before the answer{reason}")
        self._wake()

    def pause_writing(self) -> None:
        self._must_not_write = True

    def resume_writing(self) -> None:
        self._must_not_write = False
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-type":
            self._content_type = value
        elif lower in (b"content-length", b"transfer-encoding"):
            self._ends_with_connection = False

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self._whole:
            return  # another answer follows the one that was asked for
        if status not in STATUSES:
            self._fail(f"the replica answered with status {status}, which HTTP has not")
        elif status >= 200:  # those below announce another answer
            self._head = AnswerHead(status, self._content_type.decode("latin-1"))
            self._keeps_alive = self._parser.should_keep_alive()
            self._wake()

    def on_body(self, body: bytes) -> None:
        if self._whole:
            return
        self._has_brought_body = True
        self._pieces.append(body)
        self._buffered += len(body)
        if self._take is None:
            self._wake()

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._whole = True
            self._wake()

    def on_message_begin(self) -> None:
        self._keeps_alive = False
        if self._head is None:
            self._content_type, self._ends_with_connection = b"", True
