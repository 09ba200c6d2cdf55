"""What aiohttp's server refuses by itself leaves as OpenAI's error object; every answer has an `x-request-id`."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from deployments.gateway.errors.error_object import ApiError, error_body
from deployments.gateway.file_reserve import FILES
from deployments.gateway.http_log import logger

REQUEST_ID = "x-request-id"
ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own id of its request where it is one, else a new one."""
    sent = headers.get(REQUEST_ID, "")
    return sent if ID.fullmatch(sent) else uuid.uuid4().hex


async def name_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Sets `x-request-id` where nothing else did. For `Application.on_response_prepare`."""
    if REQUEST_ID not in response.headers:
        response.headers[REQUEST_ID] = request_id(request.headers)


WRITE_TIMEOUT_S = 60.0
"""As the fleet file's default."""

LEAST_TAKEN = 32 * 1024
"""Bytes that a client must take within each `write_timeout_s` while it keeps the gateway from writing."""

_OVERLOADED_BODY = error_body(503, "the gateway has too many connections; try again", None, "overloaded")
OVERLOADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_OVERLOADED_BODY), _OVERLOADED_BODY)
)
"""The answer to a connection that cannot be served."""


class RequestHandler(web.RequestHandler):
    """One connection to the gateway.

    It is cut off where its client does not read for `write_timeout_s`: that holds a file descriptor, and what was
    to be sent.
    """

    __slots__ = ("_stall", "_write_timeout_s")

    def __init__(self, manager: web.Server, write_timeout_s: float, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._write_timeout_s = write_timeout_s
        self._stall: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Answers the connection's requests. What is left to be sent when it ends must go within the timeout too."""
        transport = self.transport
        try:
            await super().start()
        finally:
            self._end_stall()
            if transport is not None and transport.get_write_buffer_size():
                self._loop.call_later(self._write_timeout_s, transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        transport = self.transport
        if transport is not None:
            unsent = transport.get_write_buffer_size()
            self._stall = self._loop.call_later(self._write_timeout_s, self._abort_if_stalled, transport, unsent)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _end_stall(self) -> None:
        if self._stall:
            self._stall.cancel()
            self._stall = None

    def _abort_if_stalled(self, transport: asyncio.Transport, before: int) -> None:
        unsent = transport.get_write_buffer_size()
        if unsent > before - LEAST_TAKEN:
            logger.warning("a client that did not read for %g s is cut off", self._write_timeout_s)
            transport.abort()
            return
        self._stall = self._loop.call_later(self._write_timeout_s, self._abort_if_stalled, transport, unsent)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuses a connection that takes one of the last file descriptors: the listener must not run out of them."""
        super().connection_made(transport)
        file = transport.get_extra_info("socket")
        if file is not None and not FILES.has_room(file.fileno()) and isinstance(transport, asyncio.Transport):
            transport.write(OVERLOADED)
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what was no request, or to a failure outside the application. The connection is closed.

        Raises ConnectionError, which ends the connection without a word, where the client has left: a write finds that
        out before the server does.
        """
        if isinstance(exc, ConnectionError) and (self.transport is None or self.transport.is_closing()):
            raise exc
        if isinstance(exc, UnicodeEncodeError):
            status = 400  # aiohttp could not repeat what the client sent, such as a raw byte in `Expect`
        super().handle_error(request, status, exc, message)  # logs, and raises where the answer has begun
        return refusal(status, exc, request_id(request.headers))


def refusal(status: int, error: BaseException | None, name: str) -> web.Response:
    """`error` is the parser's. Its text is not passed on: it quotes the client."""
    if status >= 500:
        response = ApiError(status, "the gateway failed unexpectedly", code="internal").response()
    elif isinstance(error, LineTooLong):
        message = "the URL or a header is too long, or there are too many; a line may have 8190 bytes"
        response = ApiError(status, message, code="malformed_http").response()
    else:
        message = "the request is not well-formed HTTP; check its request line, headers and transfer encoding"
        response = ApiError(status, message, code="malformed_http").response()
    response.headers[REQUEST_ID] = name
    response.force_close()
    return response


class HttpServer(web.Server):
    """Makes a RequestHandler for each connection."""

    write_timeout_s = WRITE_TIMEOUT_S

    def __call__(self) -> RequestHandler:
        return RequestHandler(self, self.write_timeout_s, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An application runner whose connections answer as `RequestHandler` does."""

    def __init__(self, app: web.Application, write_timeout_s: float = WRITE_TIMEOUT_S, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._write_timeout_s = write_timeout_s

    async def _make_server(self) -> HttpServer:
        made = await super()._make_server()
        server = HttpServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.write_timeout_s = self._write_timeout_s
        return server
