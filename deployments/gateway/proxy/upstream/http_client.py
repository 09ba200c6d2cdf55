"""A lean HTTP/1.1 client of replicas: a kept parser, connections that are kept open, and nothing else.

What a general client does for each request (cookies, redirections, proxies, decompression, URL objects) costs several
times what the request itself does, and none of it is wanted here.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from deployments.gateway.proxy.upstream.connection import AnswerHead, UpstreamConnection, UpstreamLost
from deployments.gateway.proxy.upstream.connection_pool import ConnectionPool, Origin, origin_of

LINE_ENDS = re.compile(r"[\r\n\0]")


class Unreachable(Exception):
    """No connection to the replica could be opened: it has seen nothing of the request.

    Attributes:
        in_time: whether that was known before the limit of time: somebody refused it.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error) or "no connection in time")
        self.in_time = not isinstance(error, TimeoutError)


class HttpAnswer:
    """A replica's answer, as it comes.

    Attributes:
        status: of HTTP.
        content_type: as the replica sent it; '' for none.
    """

    def __init__(self, pool: ConnectionPool, origin: Origin, connection: UpstreamConnection, head: AnswerHead) -> None:
        self._pool, self._origin, self._connection = pool, origin, connection
        self._is_open = True
        self.status, self.content_type = head.status, head.content_type

    async def read(self) -> bytes:
        """The next bytes; nothing at the end. Raises UpstreamLost where the answer breaks off."""
        return await self._connection.read()

    async def pour(self, take: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]]) -> None:
        """As `UpstreamConnection.pour`."""
        await self._connection.pour(take, drain)

    async def whole(self, most_bytes: int) -> bytes:
        """All of it. Raises UpstreamLost, also where it is longer than `most_bytes`."""
        pieces, size = [], 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise UpstreamLost(f"the answer is longer than {most_bytes} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Gives the connection back, or closes it where the replica would send more: that ends the request's work."""
        if self._is_open:
            self._is_open = False
            self._pool.give_back(self._origin, self._connection)


class HttpClient:
    """Requests to replicas. Every caller sets its own limits of time. Belongs to one event loop."""

    def __init__(self, connect_timeout_s: float, context: ssl.SSLContext | None) -> None:
        """`context`: what replicas with https URLs must show."""
        self._pool = ConnectionPool(connect_timeout_s, context)

    def close(self) -> None:
        """Closes all connections, those in use too."""
        self._pool.close()

    async def send(
        self,
        method: str,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] = b"",
        length: int | None = None,
    ) -> HttpAnswer:
        """Sends a request to `path` at the replica with this URL. `length`: of an iterator's body, in bytes.

        Raises Unreachable, UpstreamLost, and ValueError for what is no URL or no header.
        """
        origin = origin_of(url)
        if isinstance(body, bytes):
            length = len(body)
        head = request_head(method, path, origin.authority, headers, length)
        try:
            connection = await self._pool.take(origin)
        except OSError as error:  # TimeoutError too
            raise Unreachable(error) from error
        try:
            answer = await connection.send(head, body)
        except BaseException:
            self._pool.give_back(origin, connection)
            raise
        return HttpAnswer(self._pool, origin, connection, answer)


def request_head(method: str, path: str, authority: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """A request's first lines. Raises ValueError where a value would end its line."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if LINE_ENDS.search("".join(lines)):
        raise ValueError("a header has a line end in it")
    if length or method != "GET":
        lines.append(f"Content-Length: {length}")
    text = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {authority}", *lines, "", ""))
    return text.encode("utf-8", "surrogateescape")
