"""One replica's part in answering a request: it is sent, its answer is relayed, and what it took is learned."""

from __future__ import annotations

import json
from functools import partial

from aiohttp import web

from deployments.announcement import Announcement
from deployments.gateway.errors import engine_error
from deployments.gateway.proxy.client_stream import ERROR_EVENT, ClientStream
from deployments.gateway.proxy.failures import ReplicaFailed
from deployments.gateway.proxy.upstream import UpstreamAnswer, UpstreamClient
from deployments.gateway.request_context import RequestContext
from deployments.gateway.state import GatewayState
from deployments.routing import Booking

PASSED_ON = ("Accept", "traceparent", "tracestate", "User-Agent")
EXPLAIN = "x-explain-routing"
"""A request with this header, whatever it says, is told in `x-routing` why it went where it went."""
RETRIED_STATUS = frozenset({500, 502, 503, 504})
MOST_ERROR_BYTES = 2**20


class Attempt:
    """A booked replica. `send`, `relay` and `settle` are called in this order; `close` at the end."""

    def __init__(self, state: GatewayState, client: UpstreamClient, context: RequestContext, booking: Booking) -> None:
        self._state, self._client, self._context, self._booking = state, client, context, booking
        self._replica: Announcement | None = None
        self._answer: UpstreamAnswer | None = None
        self._succeeded = False

    async def send(self) -> None:
        """Sends the request. Raises ReplicaFailed where there is no answer that the client should see, and NotExact
        where this replica cannot continue the stream."""
        context, served = self._context, self._context.served
        replica = self._replica = served.announcements.get(self._booking.replica.incarnation)
        if replica is None:
            raise ReplicaFailed("it left meanwhile", reached=False, suspect=False)
        answer = self._answer = await self._post(replica)
        has_other = served.admission.has_other({*context.failed, replica.incarnation})
        if 300 <= answer.status < 400:
            raise ReplicaFailed(f"it answered {answer.status}, and redirections are not followed", suspect=False)
        if answer.status in RETRIED_STATUS and has_other:
            raise ReplicaFailed(f"it answered {answer.status}", suspect=False)
        if answer.streams and has_other and answer.head.startswith(ERROR_EVENT):
            raise ReplicaFailed("its stream began with an error", suspect=False)
        if answer.streams and answer.status < 400:
            served.admission.first_token(self._booking)
        context.renderer, context.max_model_len = replica.renderer, replica.max_model_len

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
        headers["Content-Type"] = answer.response.headers.get("Content-Type", "application/json")
        if not answer.streams:
            context.usage.take_whole(answer.head)
            return web.Response(body=answer.head, headers=headers)
        headers |= {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(context.request)
        context.stream = ClientStream(
            response,
            context.usage,
            context.follower,
            context.request.transport,
            self._state.fleet.gateway.write_timeout_s,
        )
        await context.stream.pass_on(answer)
        return response

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

    def close(self) -> None:
        """Ends the replica's work where it goes on, and the booking."""
        if self._answer:
            self._answer.close()
        self._context.served.admission.release(self._booking)

    async def _post(self, replica: Announcement) -> UpstreamAnswer:
        context, upstream, parsed = self._context, self._context.upstream, self._context.parsed
        given = context.request.headers
        headers = {name: given[name] for name in PASSED_ON if name in given}
        headers["X-Request-Id"] = context.request_id
        body, length, content_type = parsed.body, parsed.length, parsed.content_type
        if upstream.continuation:
            rest = await upstream.continuation.body(partial(self._client.detokenize, replica.url, parsed.model))
            body, length, content_type = lambda: rest, len(rest), "application/json"
        headers |= {"Content-Type": content_type, "Content-Length": str(length)}
        return await self._client.post(replica.url + upstream.path, body(), headers)

    async def _continue(self, answer: UpstreamAnswer, stream: ClientStream) -> web.StreamResponse:
        if answer.status >= 400:
            raise engine_error(answer.status, answer.head[:MOST_ERROR_BYTES])
        if not answer.streams:
            raise ReplicaFailed("its answer is no stream", suspect=False)
        self._state.metrics.resumed_streams.labels(self._context.model_name).inc()
        continuation = self._context.upstream.continuation
        await stream.pass_on(answer, continuation.splice if continuation else None)
        return stream.response

    def _headers(self) -> dict[str, str]:
        replica = self._replica
        assert replica is not None
        headers = {"x-replica": replica.replica, "x-pool": replica.pool, "x-vendor": replica.vendor}
        if EXPLAIN in self._context.request.headers:
            headers["x-routing"] = json.dumps(self._booking.decision.as_dict())
        return headers
