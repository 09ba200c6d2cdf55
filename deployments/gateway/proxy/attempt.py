"""One replica's part in answering a request: it is sent, its answer is relayed, and what it took is learned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from deployments.gateway.errors.error_object import ApiError, engine_error, event_error
from deployments.gateway.proxy.answer_room import AnswerRoom
from deployments.gateway.proxy.client.stream import ERROR_EVENT, ClientStream
from deployments.gateway.proxy.client.writer import ClientWriter
from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.failover import Failover
from deployments.gateway.proxy.recovery.failures import ReplicaFailed, StreamCut
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.gateway.proxy.recovery.replica_watch import ReplicaWatch
from deployments.gateway.proxy.time_limits import AnswerTimedOut, AnswerTimer, Limit, Seconds
from deployments.gateway.proxy.upstream.exchange import EVENT_STREAM, UpstreamAnswer, UpstreamClient
from deployments.gateway.request.context import RequestContext
from deployments.gateway.request.fields import HEADER as UNKNOWN_FIELDS
from deployments.gateway.state import GatewayState
from deployments.replica_info import ReplicaInfo
from deployments.routing import Booking

PASSED_ON = ("Accept", "traceparent", "tracestate", "User-Agent")
RETRIED_STATUS = frozenset({500, 502, 503, 504})
MOST_ERROR_BYTES = 2**20
PROBE_HEALTH_S = 1.0
"""Within which a replica must answer its health check, before a request is the probe that ends its ejection."""


class Attempt:
    """A booked replica. `send`, `relay` and `settle` are called in this order, within its time limits."""

    def __init__(
        self,
        state: GatewayState,
        client: UpstreamClient,
        watch: ReplicaWatch,
        context: RequestContext,
        booking: Booking,
        failover: Failover,
        replica: ReplicaInfo,
        limits: Seconds,
    ) -> None:
        self._state, self._client, self._watch = state, client, watch
        self._context, self._booking = context, booking
        self._failover, self._replica = failover, replica
        self._settings = state.fleet.gateway
        self._timer = AnswerTimer(limits)
        self._room = AnswerRoom(self._settings.max_answer_bytes, context.claim)
        self._answer: UpstreamAnswer | None = None
        self._succeeded = False

    @asynccontextmanager
    async def within_time_limits(self) -> AsyncIterator[Attempt]:
        """Ends what runs inside when a limit passes, and the replica's work with it.

        Raises ApiError 504 where the answer is merely long, else ReplicaFailed or StreamCut.
        """
        served, replica = self._context.served, self._booking.replica
        try:
            with self._watch.watching(self._replica.url, replica, served.admission, self._timer) as watched:
                async with self._timer.watch(watched):
                    yield self
        except AnswerTimedOut as late:
            raise self._failure_of(late) from late
        finally:
            if self._answer:
                self._answer.close()
            if self._context.stream or not self._succeeded:
                self._room.give_back()

    def _failure_of(self, late: AnswerTimedOut) -> Exception:
        self._state.metrics.time_limits.labels(self._context.model_name, late.limit).inc()
        frozen, streams = late.limit is Limit.FROZEN, self._context.upstream.work.streams
        if late.limit is Limit.WHOLE or not (frozen or streams):
            headers = {"x-should-retry": "false"}
            return ApiError(504, f"{late}; ask for a shorter one", code="timeout", headers=headers)
        failure = Failure.FROZEN if frozen else Failure.TIMED_OUT
        return StreamCut(str(late), failure) if self._context.stream else ReplicaFailed(str(late), failure)

    async def send(self) -> None:
        """Sends the request. Raises ReplicaFailed where another replica may serve the client better, ApiError where the
        request itself is at fault, and NotExact where this replica cannot continue the stream."""
        context, failover = self._context, self._failover
        if context.served.admission.is_probing(self._booking.replica):
            await self._require_health()
        context.work.sent_to(self._booking, float(context.served.router.table.token_s[self._booking.replica.row]))
        answer = self._answer = await self._post()
        answer.head = await (self._first_piece(answer) if answer.streams else answer.whole(self._room))
        if answer.streams and not answer.head:
            raise ReplicaFailed("the stream ended before its first byte", Failure.LOST)
        if 300 <= answer.status < 400:
            raise ReplicaFailed(f"it answered {answer.status}, and redirections are not followed", Failure.ERROR)
        if answer.status in RETRIED_STATUS and failover.may_retry(self._booking):
            raise ReplicaFailed(f"it answered {answer.status}", Failure.ERROR)
        if answer.streams and answer.head.startswith(ERROR_EVENT):
            error = event_error(answer.head)
            if error.status >= 500 and failover.may_retry(self._booking):
                raise ReplicaFailed("its stream began with an error", Failure.ERROR)
            if error.status < 500:
                failover.answered(self._booking)
            raise error
        if answer.status < 500:
            failover.answered(self._booking)
        if answer.streams and answer.status < 400:
            context.served.admission.first_token(self._booking)
        context.renderer, context.max_model_len = self._replica.renderer, self._replica.max_model_len

    async def relay(self) -> web.StreamResponse:
        """Passes the answer on to its end. Raises StreamCut where it is cut, ApiError or ReplicaFailed where it does
        not continue the stream that is open."""
        context, answer = self._context, self._answer
        assert answer is not None
        self._succeeded = answer.status < 400
        if context.stream:
            return await self._continue(answer, context.stream)
        headers = self._headers()
        if answer.status >= 400:
            refusal = engine_error(answer.status, answer.head[:MOST_ERROR_BYTES]).response()
            refusal.headers.update(headers)
            return refusal
        headers["Content-Type"] = answer.content_type or "application/json"
        if not answer.streams:
            context.usage.take_whole(answer.head)
            return web.Response(body=answer.head, headers=headers)
        stream = await self._open_stream(headers)
        await stream.pass_on(answer)
        return stream.response

    def settle(self) -> None:
        """Corrects the booking by what the engine reported, and holds the prediction against it."""
        if not self._succeeded:
            return
        usage, served, booking = self._context.usage, self._context.served, self._booking
        cached = usage.cached_tokens
        if cached is None and usage.reported() and booking.request.keys:
            cached = 0  # engines leave the count out where it is nothing
        output = usage.output_tokens
        if output is not None:
            output -= self._context.upstream.tokens_before
        served.admission.finish(booking, output, cached)
        if cached is not None and booking.request.keys:
            labels, metrics = (served.model.name, booking.replica.pool), self._state.metrics
            metrics.predicted_cached.labels(*labels).inc(booking.cached_tokens)
            metrics.actual_cached.labels(*labels).inc(cached)
            metrics.cached_error.labels(*labels).inc(abs(booking.cached_tokens - cached))

    async def _post(self) -> UpstreamAnswer:
        context, upstream, parsed = self._context, self._context.upstream, self._context.parsed
        given = context.request.headers
        headers = {name: given[name] for name in PASSED_ON if name in given}
        headers["X-Request-Id"] = context.request_id
        body, length, content_type = parsed.body, parsed.length, parsed.content_type
        if upstream.continuation:
            rest = await upstream.continuation.body(partial(self._client.detokenize, self._replica.url, parsed.model))
            body, length, content_type = lambda: rest, len(rest), "application/json"
        headers["Content-Type"] = content_type
        return await self._client.post(self._replica.url, upstream.path, headers, body(), length, self._timer)

    async def _first_piece(self, answer: UpstreamAnswer) -> bytes:
        """The first bytes of a stream. Where they take long its client gets the head of its answer, and comments."""
        if self._context.stream or answer.status >= 400:
            return await answer.first()
        try:
            async with asyncio.timeout(self._settings.comment_after_s) as waiting:
                return await answer.first()
        except TimeoutError:
            if not waiting.expired():
                raise
        await self._open_stream({"Content-Type": EVENT_STREAM})
        return await answer.first()

    async def _open_stream(self, headers: dict[str, str]) -> ClientStream:
        context, settings = self._context, self._settings
        response = web.StreamResponse(headers={**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        writer = ClientWriter(context.request, response)
        await writer.start()
        context.stream = ClientStream(writer, context.usage, context.follower, self._room, settings.comment_after_s)
        return context.stream

    async def _continue(self, answer: UpstreamAnswer, stream: ClientStream) -> web.StreamResponse:
        if answer.status >= 400:
            raise engine_error(answer.status, answer.head[:MOST_ERROR_BYTES])
        if not answer.streams:
            raise ReplicaFailed("its answer is no stream", Failure.ERROR)
        continuation = self._context.upstream.continuation
        if stream.shown:
            self._state.metrics.resumed_streams.labels(self._context.model_name).inc()
        await stream.pass_on(answer, continuation.splice if continuation else None)
        return stream.response

    async def _require_health(self) -> None:
        """A replica that is frozen still would hold the request until it is found out again."""
        try:
            async with asyncio.timeout(PROBE_HEALTH_S):
                health = await self._client.health.check(self._replica.url)
        except TimeoutError:
            health = Health.FROZEN
        if health is not Health.ALIVE:
            raise ReplicaFailed(f"it is {health} still", Failure.UNREACHABLE)

    def _headers(self) -> dict[str, str]:
        replica = self._replica
        headers = {"x-replica": replica.replica, "x-pool": replica.pool, "x-vendor": replica.vendor}
        if unknown := self._context.parsed.unknown_fields:
            headers[UNKNOWN_FIELDS] = unknown
        if self._context.hints.explained and (decision := self._booking.decision):
            headers["x-routing"] = json.dumps(decision.as_dict())
        return headers
