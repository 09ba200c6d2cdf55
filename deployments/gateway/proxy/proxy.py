"""Steps 4 to 8 of a request: replicas are booked and tried until one has answered to the end."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from deployments.gateway.errors import ApiError
from deployments.gateway.proxy.attempt import Attempt
from deployments.gateway.proxy.failures import ReplicaFailed, StreamCut
from deployments.gateway.proxy.upstream import UpstreamClient
from deployments.gateway.request_context import RequestContext, UpstreamRequest
from deployments.gateway.resume import NotExact
from deployments.gateway.state import GatewayState
from deployments.routing import Booking, Request

FAILURES = (ReplicaFailed, StreamCut, NotExact, ApiError)
"""What `Proxy.recover` decides about."""

CUT, AGAIN = "the replica failed in the middle of the answer", "send the request again"


class Proxy:
    """Books replicas for requests and recovers from their failures. Belongs to one event loop."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._client = UpstreamClient(state.fleet.gateway, state.engine_headers, state.fleet.engine_tls)

    async def close(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def book(self, context: RequestContext) -> AsyncIterator[Attempt]:
        """A replica with room, booked until the end of the block. Raises ApiError 429 or 503 where none comes."""
        served, metrics = context.served, self._state.metrics
        self._limit_retries(context)
        waited = time.perf_counter()
        booking = await served.admission.book(context.upstream.work, frozenset(context.failed))
        metrics.queue_wait.labels(context.model_name).observe(time.perf_counter() - waited)
        metrics.decision.labels(context.model_name).observe(booking.decision.seconds)
        served.decisions.append(booking.decision)
        attempt = Attempt(self._state, self._client, context, booking)
        try:
            yield attempt
        except (ReplicaFailed, StreamCut) as failure:
            self._count_failure(context, booking, failure)
            raise
        finally:
            attempt.close()

    async def recover(self, context: RequestContext, failure: Exception) -> web.StreamResponse | None:
        """None where another replica is to be tried, with what the context's `upstream` says; else the stream's end.

        Raises `failure`, or ApiError 503, where the client has seen nothing and nothing is left to try.
        """
        if isinstance(failure, StreamCut):
            return await self._continue_elsewhere(context, failure)
        if isinstance(failure, ReplicaFailed):
            if not self._spent(context):
                return None
            failure = ApiError(
                503,
                f"no replica of '{context.model_name}' answered this request ({len(context.failed)} asked); "
                "try again later",
                code="replicas_failed",
                retry_after_s=5,
            )
        if context.stream is None:
            raise failure
        return await context.stream.fail(f"{CUT}, and no other could continue it: {failure}; {AGAIN}")

    def _count_failure(self, context: RequestContext, booking: Booking, failure: ReplicaFailed | StreamCut) -> None:
        context.failed.add(booking.replica.incarnation)
        if isinstance(failure, StreamCut):
            context.attempts += 1
            self._state.metrics.cut_streams.labels(context.model_name).inc()
        else:
            # One that was never reached costs no attempt: while it restarts, its requests wait.
            context.attempts += failure.reached
            self._state.metrics.retries.labels(context.model_name, booking.replica.pool).inc()
        if isinstance(failure, StreamCut) or failure.suspect:
            context.served.admission.suspect(booking.replica)

    def _limit_retries(self, context: RequestContext) -> None:
        """From the first attempt on a request, or on the rest of its stream."""
        limit_s = context.served.admission.queue_timeout_s
        if math.isinf(context.retry_until) and limit_s is not None:
            context.retry_until = time.monotonic() + limit_s

    def _spent(self, context: RequestContext) -> bool:
        """Whether a failure is not to be followed by another attempt."""
        return context.attempts >= self._state.fleet.gateway.attempts or time.monotonic() >= context.retry_until

    async def _continue_elsewhere(self, context: RequestContext, cut: StreamCut) -> web.StreamResponse | None:
        stream = context.stream
        assert stream is not None
        if self._spent(context):
            return await stream.fail(f"{CUT} ({cut}), as {context.attempts - 1} before it did; {AGAIN}")
        context.retry_until = math.inf
        if not stream.shown:
            return None
        if stream.follower is None:
            return await stream.fail(f"{CUT} ({cut}), which no other can continue: {context.not_followed}; {AGAIN}")
        try:
            continuation = await stream.follower.continuation(context.renderer, context.max_model_len)
        except NotExact as reason:
            return await stream.fail(f"{CUT} ({cut}), which no other can continue: {reason}; {AGAIN}")
        if stream.follower.emitted.finished:
            await stream.end(continuation.closing())
            return stream.response
        work = context.upstream.work
        rest = Request(
            tokens=continuation.tokens,
            keys=work.keys,
            image_tokens=work.image_tokens,
            session=work.session,
            priority=work.priority,
            deadline=work.deadline,
        )
        context.upstream = UpstreamRequest(continuation.path, rest, continuation)
        return None
