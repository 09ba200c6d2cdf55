"""Sends a request to a replica and its answer back: booked, retried before the first byte, never silently cut after."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from cluster.fleet import Gateway
from deployments.gateway.directory import Served
from deployments.gateway.errors import ApiError, engine_error, error_event
from deployments.gateway.metrics import Metrics
from deployments.gateway.requests import Parsed
from deployments.routing import Booking

PASSED_ON = ("Accept", "traceparent", "tracestate", "User-Agent")
FRAME_END = b"\n\n"
RETRIED_STATUS = frozenset({500, 502, 503, 504})
MOST_ERROR_BYTES = 2**20


class ReplicaFailed(Exception):
    """The replica gave no usable answer, and the client has seen no byte: another may be asked."""


@dataclass
class Answer:
    """A replica's answer with its first bytes read: from here on the client sees it."""

    upstream: aiohttp.ClientResponse
    head: bytes

    @property
    def streams(self) -> bool:
        return self.upstream.content_type == "text/event-stream"


class Forwarder:
    """Forwards requests on one pool of connections. Belongs to one event loop."""

    def __init__(self, settings: Gateway, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.read_timeout_s
            ),
            auto_decompress=False,
            read_bufsize=2**18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(
        self, request: web.Request, served: Served, parsed: Parsed, request_id: str
    ) -> web.StreamResponse:
        """Answers `request` from some replica of the model. Raises ApiError where none could."""
        failed: set[str] = set()
        for attempt in range(1, self.settings.attempts + 1):
            waited = time.perf_counter()
            booking = await served.admission.book(parsed.work, frozenset(failed))
            self.metrics.queue_wait.labels(served.model.name).observe(time.perf_counter() - waited)
            incarnation = booking.replica.incarnation
            try:
                announcement = served.announcements.get(incarnation)
                if announcement is None:
                    raise ReplicaFailed(f"replica {booking.replica.name} left")
                answer = await self._ask(request, announcement.url, parsed, request_id)
                try:
                    if answer.upstream.status in RETRIED_STATUS and served.admission.has_other({*failed, incarnation}):
                        raise ReplicaFailed(f"replica {booking.replica.name} answered {answer.upstream.status}")
                    headers = {"x-request-id": request_id, "x-replica": announcement.replica}
                    headers |= {"x-pool": announcement.pool, "x-vendor": announcement.vendor}
                    return await self._deliver(request, answer, headers, served.model.name)
                finally:
                    answer.upstream.release() if answer.upstream.content.at_eof() else answer.upstream.close()
            except ReplicaFailed as error:
                failed.add(incarnation)
                self._note_failure(served, booking, attempt, error)
            finally:
                served.admission.release(booking)
        raise ApiError(
            503,
            f"{self.settings.attempts} attempts to reach a replica of '{served.model.name}' failed; try again later",
            code="replicas_failed",
            retry_after_s=5,
        )

    def _note_failure(self, served: Served, booking: Booking, attempt: int, error: ReplicaFailed) -> None:
        self.metrics.retries.labels(served.model.name, booking.replica.pool).inc()
        if error.__cause__ is not None:  # no answer at all, rather than an error answer
            served.admission.suspect(booking.replica)

    async def _ask(self, request: web.Request, url: str, parsed: Parsed, request_id: str) -> Answer:
        """Sends the request and reads the first bytes of the answer. Raises ReplicaFailed where there are none."""
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers |= {"Content-Type": parsed.content_type, "Content-Length": str(parsed.length)}
        headers["X-Request-Id"] = request_id
        try:
            upstream = await self._session.post(url + request.path, data=parsed.body(), headers=headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error)) from error
        answer = Answer(upstream, b"")
        try:
            # Whole where it is one object, so that a cut can still be retried; the first piece where it streams.
            answer.head = await (upstream.content.readany() if answer.streams else upstream.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            upstream.close()
            raise ReplicaFailed(str(error)) from error
        except asyncio.CancelledError:
            upstream.close()
            raise
        if answer.streams and not answer.head:
            upstream.close()
            raise ReplicaFailed("the stream ended before its first byte") from ConnectionError("empty stream")
        return answer

    async def _deliver(
        self, request: web.Request, answer: Answer, headers: dict[str, str], model: str
    ) -> web.StreamResponse:
        upstream = answer.upstream
        if upstream.status >= 400:
            error = engine_error(upstream.status, answer.head[:MOST_ERROR_BYTES]).response()
            error.headers.update(headers)
            return error
        headers["Content-Type"] = upstream.headers.get("Content-Type", "application/json")
        if not answer.streams:
            return web.Response(body=answer.head, headers=headers)
        headers |= {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await self._pump(answer, response, model)
        return response

    async def _pump(self, answer: Answer, response: web.StreamResponse, model: str) -> None:
        """Passes frames on as they come. Only whole frames, so that a cut can be told in a frame of its own."""
        rest = b""
        piece = answer.head
        content = answer.upstream.content
        try:
            while piece:
                if rest:
                    piece = rest + piece
                if piece.endswith(FRAME_END):
                    rest = b""
                else:
                    whole = piece.rfind(FRAME_END) + len(FRAME_END)
                    piece, rest = (piece[:whole], piece[whole:]) if whole >= len(FRAME_END) else (b"", piece)
                if piece:
                    await response.write(piece)
                piece = await content.readany()
            await response.write_eof(rest)
        except (aiohttp.ClientConnectionResetError, ConnectionResetError):
            raise  # the client is gone: nothing more to tell it
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.metrics.cut_streams.labels(model).inc()
            reason = f"the replica failed in the middle of the answer ({type(error).__name__}); send the request again"
            await response.write_eof(error_event(reason, "replica_failed"))
