"""The client's end of a stream. Bytes go straight to its transport, without a task that wakes for each of them."""

from __future__ import annotations

from aiohttp import HttpVersion11, web

MOST_UNREAD_BYTES = 64 * 1024
"""Bytes that wait for a client to read, above which its engine's answer is not read further either."""


class ClientWriter:
    """Writes one stream. Belongs to one event loop.

    The connection cuts off a client that does not read (`RequestHandler`), and the server cancels the request then.
    """

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        """`response` is not prepared yet."""
        self.response = response
        self.sent_bytes = 0
        """Of the answer's body, without what frames it."""
        self._request = request
        self._is_chunked = request.version >= HttpVersion11
        if self._is_chunked:
            response.enable_chunked_encoding()
        else:
            response.force_close()  # nothing else tells an older client where the stream ends

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
        """Returns when the client reads again. Raises ConnectionResetError where it has left."""
        await self._request.writer.drain()

    async def end(self, data: bytes = b"") -> None:
        """Ends the stream, with these bytes as its last."""
        self.sent_bytes += len(data)
        await self.response.write_eof(data)
