"""Steps 4 to 8 of a request: replicas are booked and tried until one has answered to the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.metrics.limits_collector import LimitsCollector
from deployments.gateway.proxy.attempt import Attempt
from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.failover import Failover
from deployments.gateway.proxy.recovery.failures import ReplicaFailed, StreamCut
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.gateway.proxy.recovery.replica_watch import ReplicaWatch
from deployments.gateway.proxy.recovery.retry_budget import RetryBudget, RetryClaim
from deployments.gateway.proxy.time_limits import LimitsByRoute
from deployments.gateway.proxy.upstream.exchange import UpstreamClient
from deployments.gateway.request.context import RequestContext, UpstreamRequest
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
        self._watch = ReplicaWatch(self._client.health.check)
        self._limits = LimitsByRoute(state.fleet.gateway)
        self._retries = RetryBudget(state.fleet.gateway.retry_share)
        state.metrics.registry.register(LimitsCollector(state.directory, self._retries))

    async def close(self) -> None:
        self._watch.close()
        await self._client.close()

    @asynccontextmanager
    async def book(self, context: RequestContext) -> AsyncIterator[Attempt]:
        """A replica with room, booked until the end of the block. Raises ApiError 429 or 503 where none comes, or the
        request's budget is spent."""
        served, metrics = context.served, self._state.metrics
        failover = context.failover = context.failover or self._failover(context)
        await failover.before_next()
        waited = time.perf_counter()
        booking = await served.admission.book(context.upstream.work, frozenset(failover.failed), context.tenant)
        metrics.queue_wait.labels(context.model_name).observe(time.perf_counter() - waited)
        metrics.decision.labels(context.model_name).observe(booking.decided_in_s)
        if booking.decision:
            served.decisions.append(booking.decision)
        try:
            replica = served.replica_infos.get(booking.replica.incarnation)
            if replica is None:
                raise ReplicaFailed("it left meanwhile", Failure.WITHDRAWN)
            context.replica = replica.replica
            limits = self._limits.seconds(context.upstream.path, context.upstream.work.streams)
            attempt = Attempt(self._state, self._client, self._watch, context, booking, failover, replica, limits)
            async with attempt.within_time_limits():
                yield attempt
        except (ReplicaFailed, StreamCut) as failed:
            if isinstance(failed, StreamCut):
                metrics.cut_streams.labels(context.model_name).inc()
            else:
                metrics.retries.labels(context.model_name, booking.replica.pool).inc()
            await failover.failed_at(booking, failed.failure, partial(self._health, context, booking))
            raise
        finally:
            served.admission.release(booking)

    async def recover(self, context: RequestContext, failure: Exception) -> web.StreamResponse | None:
        """None where another replica is to be tried, with what the context's `upstream` says; else the stream's end.

        Raises `failure` where the client has seen nothing and nothing is left to try.
        """
        stream = context.stream
        if isinstance(failure, StreamCut):
            return await self._continue_elsewhere(context, failure)
        if isinstance(failure, ReplicaFailed):
            return None
        if stream is None:
            raise failure
        if isinstance(failure, ApiError) and not stream.shown:
            return await stream.fail_with(failure)
        return await stream.fail(f"{CUT}, and no other could continue it: {failure}; {AGAIN}")

    def _failover(self, context: RequestContext) -> Failover:
        claim, attempts = RetryClaim(self._retries), self._state.fleet.gateway.attempts
        return Failover(context.served.admission, attempts, claim, context.model_name, context.request_id)

    async def _health(self, context: RequestContext, booking: Booking) -> Health:
        replica = context.served.replica_infos.get(booking.replica.incarnation)
        return await self._client.health.check(replica.url) if replica else Health.DEAD

    async def _continue_elsewhere(self, context: RequestContext, cut: StreamCut) -> web.StreamResponse | None:
        stream = context.stream
        assert stream is not None
        if not stream.shown:
            return None
        try:
            if stream.follower is None:
                raise NotExact(context.not_followed)
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
