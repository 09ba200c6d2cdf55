"""The client's end of a stream. Bytes go straight to its transport, without a task that wakes for each of them."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, web

from deployments.gateway.http_log import logger

MOST_UNREAD_BYTES = 64 * 1024
"""Bytes that wait for a client to read, above which its engine's answer is not read further either."""

CANCELLED_WITHIN_S = 5
"""Within which the server cancels the handler of a connection that was closed."""


class ClientWriter:
    """Writes one stream. Belongs to one event loop."""

    def __init__(self, request: web.Request, response: web.StreamResponse, write_timeout_s: float) -> None:
        """`response` is not prepared yet. `write_timeout_s`: how long a client may not read. It is cut off then,
        because its answer holds a place in an engine."""
        self.response = response
        self.sent_bytes = 0
        """Of the answer's body, without what frames it."""
        self._request, self._write_timeout_s = request, write_timeout_s
        self._is_chunked = request.version >= HttpVersion11
        if self._is_chunked:
            response.enable_chunked_encoding()

    async def start(self) -> None:
        """Sends the head of the answer."""
        await self.response.prepare(self._request)

    def write(self, data: bytes) -> bool:
        """Writes these bytes, which are not empty. Returns whether the client keeps up: if not, `drain` comes next."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return True  # the client has left: the server cancels the request's handler
        self.sent_bytes += len(data)
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return transport.get_write_buffer_size() <= MOST_UNREAD_BYTES

    async def drain(self) -> None:
        """Returns when the client reads again. Raises ConnectionResetError where it does not."""
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._request.writer.drain()
        except TimeoutError:
            await self._cut_off()

    async def end(self, data: bytes = b"") -> None:
        """Ends the stream, with these bytes as its last."""
        self.sent_bytes += len(data)
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self.response.write_eof(data)
        except TimeoutError:
            await self._cut_off()

    async def _cut_off(self) -> None:
        """Ends as for a client that has gone: the server cancels the request's handler."""
        logger.warning("a client that did not read its stream for %g s is cut off", self._write_timeout_s)
        if self._request.transport:
            self._request.transport.abort()
        await asyncio.sleep(CANCELLED_WITHIN_S)
        raise ConnectionResetError("the client did not read")
