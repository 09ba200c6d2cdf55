"""Sends a request to a replica and its answer back: booked, retried before the first byte, never silently cut after."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from cluster.fleet import Gateway
from deployments.gateway.directory import Served
from deployments.gateway.errors import ApiError, engine_error, error_event
from deployments.gateway.metrics import Metrics
from deployments.gateway.planning import Plan
from deployments.gateway.requests import Parsed
from deployments.gateway.usage import FRAME_END, AnswerUsage
from deployments.routing import Booking

PASSED_ON = ("Accept", "traceparent", "tracestate", "User-Agent")
EXPLAIN = "x-explain-routing"
"""A request with this header, whatever it says, is told in `x-routing` why it went where it went."""
RETRIED_STATUS = frozenset({500, 502, 503, 504})
MOST_ERROR_BYTES = 2**20
KEEPALIVE_S = 4
"""Shorter than the 5 s after which vLLM's server closes an idle connection, lest a request meet the closing."""


class ReplicaFailed(Exception):
    """The replica gave no usable answer, and the client has seen no byte: another may be asked.

    `reached`: whether it may have seen the request. `suspect`: whether others should be spared it for a while.
    """

    def __init__(self, message: str, *, reached: bool = True, suspect: bool = True) -> None:
        super().__init__(message)
        self.reached, self.suspect = reached, suspect


class StreamCut(Exception):
    """The replica's answer ended before its end, after the client had seen bytes of it."""


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
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.read_timeout_s
            ),
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],  # the answer's bytes are passed on as they are
            read_bufsize=2**18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(self, request: web.Request, served: Served, plan: Plan, request_id: str) -> web.StreamResponse:
        """Answers `request` from some replica of the model. Raises ApiError where none could."""
        failed: set[str] = set()
        attempts = 0
        admission, model = served.admission, served.model.name
        deadline = time.monotonic() + (math.inf if admission.queue_timeout_s is None else admission.queue_timeout_s)
        while attempts < self.settings.attempts and (not failed or time.monotonic() < deadline):
            waited = time.perf_counter()
            booking = await admission.book(plan.parsed.request, frozenset(failed))
            self.metrics.queue_wait.labels(model).observe(time.perf_counter() - waited)
            self.metrics.decision.labels(model).observe(booking.decision.seconds)
            served.decisions.append(booking.decision)
            try:
                response = await self._attempt(request, served, plan, request_id, booking, failed)
                if response.status < 400:
                    self._finish(served, booking, plan)
                return response
            except ReplicaFailed as failure:
                failed.add(booking.replica.incarnation)
                # One that was never reached costs no attempt: while it restarts, its requests wait.
                attempts += failure.reached
                self.metrics.retries.labels(model, booking.replica.pool).inc()
                if failure.suspect:
                    admission.suspect(booking.replica)
            finally:
                admission.release(booking)
        raise ApiError(
            503,
            f"no replica of '{model}' answered this request ({len(failed)} asked); try again later",
            code="replicas_failed",
            retry_after_s=5,
        )

    def _finish(self, served: Served, booking: Booking, plan: Plan) -> None:
        """Holds what was predicted against what the engine found."""
        usage = plan.usage
        cached = usage.cached_tokens
        if cached is None and usage.reported() and booking.request.keys:
            cached = 0  # engines leave the count out where it is nothing
        served.admission.finish(booking, usage.output_tokens, cached)
        if cached is not None and booking.request.keys:
            labels = (served.model.name, booking.replica.pool)
            self.metrics.predicted_cached.labels(*labels).inc(booking.cached_tokens)
            self.metrics.actual_cached.labels(*labels).inc(cached)
            self.metrics.cached_error.labels(*labels).inc(abs(booking.cached_tokens - cached))

    async def _attempt(
        self,
        request: web.Request,
        served: Served,
        plan: Plan,
        request_id: str,
        booking: Booking,
        failed: set[str],
    ) -> web.StreamResponse:
        """One replica's answer, given to the client. Raises ReplicaFailed while another may still be asked."""
        announcement = served.announcements.get(booking.replica.incarnation)
        if announcement is None:
            raise ReplicaFailed("it left meanwhile", reached=False, suspect=False)
        answer = await self._ask(request, announcement.url, plan.parsed, request_id)
        try:
            status = answer.upstream.status
            if status in RETRIED_STATUS and served.admission.has_other({*failed, booking.replica.incarnation}):
                raise ReplicaFailed(f"it answered {status}", suspect=False)
            if answer.streams and status < 400:
                served.admission.first_token(booking)
            headers = {
                "x-request-id": request_id,
                "x-replica": announcement.replica,
                "x-pool": announcement.pool,
                "x-vendor": announcement.vendor,
            }
            if EXPLAIN in request.headers:
                headers["x-routing"] = json.dumps(booking.decision.as_dict())
            return await self._deliver(request, answer, headers, served.model.name, plan.usage)
        finally:
            answer.upstream.release() if answer.upstream.content.at_eof() else answer.upstream.close()

    async def _ask(self, request: web.Request, url: str, parsed: Parsed, request_id: str) -> Answer:
        """Sends the request and reads the first bytes of the answer. Raises ReplicaFailed where there are none."""
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers |= {"Content-Type": parsed.content_type, "Content-Length": str(parsed.length)}
        headers["X-Request-Id"] = request_id
        try:
            upstream = await self._session.post(url + request.path, data=parsed.body(), headers=headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaFailed(str(error), reached=False) from error
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
            raise ReplicaFailed("the stream ended before its first byte")
        return answer

    async def _deliver(
        self, request: web.Request, answer: Answer, headers: dict[str, str], model: str, usage: AnswerUsage
    ) -> web.StreamResponse:
        upstream = answer.upstream
        if upstream.status >= 400:
            error = engine_error(upstream.status, answer.head[:MOST_ERROR_BYTES]).response()
            error.headers.update(headers)
            return error
        headers["Content-Type"] = upstream.headers.get("Content-Type", "application/json")
        if not answer.streams:
            usage.take_whole(answer.head)
            return web.Response(body=answer.head, headers=headers)
        headers |= {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await self._pump(answer, response, model, usage)
        return response

    async def _pump(self, answer: Answer, response: web.StreamResponse, model: str, usage: AnswerUsage) -> None:
        """Passes frames on as they come. Only whole frames, so that a cut can be told in a frame of its own."""
        rest = b""
        piece = answer.head
        try:
            while piece:
                piece = rest + piece if rest else piece
                if piece.endswith(FRAME_END):
                    rest = b""
                else:
                    end = piece.rfind(FRAME_END) + len(FRAME_END)
                    piece, rest = (piece[:end], piece[end:]) if end >= len(FRAME_END) else (b"", piece)
                if piece and (shown := usage.take_frames(piece)):
                    await response.write(shown)
                piece = await self._next(answer)
            await response.write_eof(rest)
        except StreamCut as cut:
            self.metrics.cut_streams.labels(model).inc()
            reason = f"the replica failed in the middle of the answer ({cut}); send the request again"
            await response.write_eof(error_event(reason, "replica_failed"))

    async def _next(self, answer: Answer) -> bytes:
        """The next piece of the answer; nothing at its end. Raises StreamCut where that comes too early."""
        try:
            return await answer.upstream.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StreamCut(type(error).__name__) from error
