"""What aiohttp's server refuses by itself leaves as OpenAI's error object; every answer has an `x-request-id`."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from deployments.gateway.errors import ApiError, error_body
from deployments.gateway.file_reserve import FILES

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


_OVERLOADED_BODY = error_body(503, "the gateway has too many connections; try again", None, "overloaded")
OVERLOADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_OVERLOADED_BODY), _OVERLOADED_BODY)
)
"""The answer to a connection that cannot be served."""


class RequestHandler(web.RequestHandler):
    """One connection to the gateway."""

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

    def __call__(self) -> RequestHandler:
        return RequestHandler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An application runner whose connections answer as `RequestHandler` does."""

    async def _make_server(self) -> HttpServer:
        made = await super()._make_server()
        return HttpServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
