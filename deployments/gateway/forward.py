"""Sends a request to a replica and its answer back: booked, retried before the first byte, continued after it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import aiohttp
import msgspec
from aiohttp import web

from cluster.fleet import Gateway
from deployments.announcement import Announcement
from deployments.gateway.directory import Served
from deployments.gateway.errors import ApiError, engine_error
from deployments.gateway.metrics import Metrics
from deployments.gateway.planning import Plan
from deployments.gateway.request_fields import HEADER as UNKNOWN_FIELDS
from deployments.gateway.requests import Parsed
from deployments.gateway.resume import Continuation, NotExact
from deployments.gateway.stream import ERROR_EVENT, Answer, ClientStream, StreamCut
from deployments.routing import Booking

PASSED_ON = ("Accept", "traceparent", "tracestate", "User-Agent")
EXPLAIN = "x-explain-routing"
"""A request with this header, whatever it says, is told in `x-routing` why it went where it went."""
RETRIED_STATUS = frozenset({500, 502, 503, 504})
MOST_ERROR_BYTES = 2**20
DETOKENIZE_TIMEOUT_S = 10
CUT, AGAIN = "the replica failed in the middle of the answer", "send the request again"
KEEPALIVE_S = 4
"""Shorter than the 5 s after which vLLM's server closes an idle connection, lest a request meet the closing."""


class ReplicaFailed(Exception):
    """The replica gave no usable answer, and the client has seen no byte: another may be asked.

    `reached`: whether it may have seen the request. `suspect`: whether others should be spared it for a while.
    """

    def __init__(self, message: str, *, reached: bool = True, suspect: bool = True) -> None:
        super().__init__(message)
        self.reached, self.suspect = reached, suspect


@dataclass(frozen=True)
class Errand:
    """What one replica is to do for a request: all of it, or the rest of its stream.

    `given`: tokens that the client has of other replicas. `stream`: the one that is open already; None at first.
    """

    parsed: Parsed
    path: str
    stream: ClientStream | None = None
    continuation: Continuation | None = None

    @property
    def given(self) -> int:
        return len(self.continuation.ids) if self.continuation else 0


@dataclass
class _Task:
    """One request on its way through replicas.

    Attributes:
        failed: incarnations that failed it. stream: what its client sees, from the first byte on.
        renderer, room: of the replica that answered last.
    """

    request: web.Request
    served: Served
    plan: Plan
    request_id: str
    failed: set[str] = field(default_factory=set)
    stream: ClientStream | None = None
    renderer: str = ""
    room: int | None = None


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
        """Answers `request` from some replica of the model, or from several in turn where its stream is cut. Raises
        ApiError where none could and the client has seen nothing."""
        task = _Task(request, served, plan, request_id)
        errand = Errand(plan.parsed, request.path)
        while True:
            try:
                return await self._carry_out(task, errand)
            except StreamCut as cut:
                assert task.stream is not None
                self.metrics.cut_streams.labels(served.model.name).inc()
                try:
                    continued = await self._next_errand(task)
                except NotExact as reason:
                    return await task.stream.fail(f"{CUT} ({cut}), which no other can continue: {reason}; {AGAIN}")
                if continued is None:
                    return task.stream.response
                errand = continued
            except (ApiError, NotExact) as failure:
                if task.stream is None:
                    raise
                return await task.stream.fail(f"{CUT}, and no other could continue it: {failure}; {AGAIN}")

    async def _next_errand(self, task: _Task) -> Errand | None:
        """What is left to do for a stream that was cut; None where that was only its end. Raises NotExact."""
        stream, plan = task.stream, task.plan
        assert stream is not None
        if not stream.shown:
            return Errand(plan.parsed, task.request.path, stream)
        if stream.follower is None:
            raise NotExact(plan.unfollowed)
        continuation = await stream.follower.continuation(task.renderer, task.room)
        if stream.follower.emitted.finished:
            await stream.end(continuation.closing())
            return None
        asked = replace(plan.parsed.request, tokens=continuation.tokens)
        parsed = replace(plan.parsed, request=asked, content_type="application/json")
        return Errand(parsed, continuation.path, stream, continuation)

    async def _carry_out(self, task: _Task, errand: Errand) -> web.StreamResponse:
        """Asks replicas until one has answered. Raises StreamCut, NotExact, and ApiError where none did."""
        failed, served = task.failed, task.served
        attempts, admission, model = 0, served.admission, served.model.name
        deadline = time.monotonic() + (math.inf if admission.queue_timeout_s is None else admission.queue_timeout_s)
        while attempts < self.settings.attempts and (not failed or time.monotonic() < deadline):
            waited = time.perf_counter()
            booking = await admission.book(errand.parsed.request, frozenset(failed))
            self.metrics.queue_wait.labels(model).observe(time.perf_counter() - waited)
            self.metrics.decision.labels(model).observe(booking.decision.seconds)
            served.decisions.append(booking.decision)
            try:
                response = await self._attempt(task, errand, booking)
                if response.status < 400:
                    self._finish(task, errand, booking)
                return response
            except ReplicaFailed as failure:
                failed.add(booking.replica.incarnation)
                # One that was never reached costs no attempt: while it restarts, its requests wait.
                attempts += failure.reached
                self.metrics.retries.labels(model, booking.replica.pool).inc()
                if failure.suspect:
                    admission.suspect(booking.replica)
            except StreamCut:
                failed.add(booking.replica.incarnation)
                admission.suspect(booking.replica)
                raise
            finally:
                admission.release(booking)
        raise ApiError(
            503,
            f"no replica of '{model}' answered this request ({len(failed)} asked); try again later",
            code="replicas_failed",
            retry_after_s=5,
        )

    def _finish(self, task: _Task, errand: Errand, booking: Booking) -> None:
        """Holds what was predicted against what the engine found."""
        usage, served = task.plan.usage, task.served
        cached = usage.cached_tokens
        if cached is None and usage.reported() and booking.request.keys:
            cached = 0  # engines leave the count out where it is nothing
        output = usage.output_tokens
        served.admission.finish(booking, None if output is None else output - errand.given, cached)
        if cached is not None and booking.request.keys:
            labels = (served.model.name, booking.replica.pool)
            self.metrics.predicted_cached.labels(*labels).inc(booking.cached_tokens)
            self.metrics.actual_cached.labels(*labels).inc(cached)
            self.metrics.cached_error.labels(*labels).inc(abs(booking.cached_tokens - cached))

    async def _attempt(self, task: _Task, errand: Errand, booking: Booking) -> web.StreamResponse:
        """One replica's answer, given to the client. Raises ReplicaFailed while another may still be asked, StreamCut
        after that."""
        served = task.served
        announcement = served.announcements.get(booking.replica.incarnation)
        if announcement is None:
            raise ReplicaFailed("it left meanwhile", reached=False, suspect=False)
        has_other = served.admission.has_other({*task.failed, booking.replica.incarnation})
        answer = await self._ask(task, announcement.url, errand)
        try:
            status = answer.upstream.status
            if 300 <= status < 400:
                raise ReplicaFailed(f"it answered {status}, and redirections are not followed", suspect=False)
            if status in RETRIED_STATUS and has_other:
                raise ReplicaFailed(f"it answered {status}", suspect=False)
            if answer.streams and has_other and answer.head.startswith(ERROR_EVENT):
                raise ReplicaFailed("its stream began with an error", suspect=False)
            if answer.streams and status < 400:
                served.admission.first_token(booking)
            task.renderer, task.room = announcement.renderer, announcement.max_model_len
            if errand.stream:
                return await self._deliver_rest(answer, errand.stream, errand.continuation, served.model.name)
            return await self._deliver(task, answer, self._headers(task, announcement, booking))
        finally:
            answer.upstream.release() if answer.upstream.content.at_eof() else answer.upstream.close()

    def _headers(self, task: _Task, announcement: Announcement, booking: Booking) -> dict[str, str]:
        headers = {
            "x-request-id": task.request_id,
            "x-replica": announcement.replica,
            "x-pool": announcement.pool,
            "x-vendor": announcement.vendor,
        }
        if unknown := task.plan.parsed.unknown_fields:
            headers[UNKNOWN_FIELDS] = unknown
        if EXPLAIN in task.request.headers:
            headers["x-routing"] = json.dumps(booking.decision.as_dict())
        return headers

    async def _ask(self, task: _Task, url: str, errand: Errand) -> Answer:
        """Sends the request and reads the first bytes of the answer. Raises ReplicaFailed where there are none."""
        request, parsed = task.request, errand.parsed
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers["X-Request-Id"] = task.request_id
        try:
            if errand.continuation:
                data = await errand.continuation.body(partial(self._detokenized, url, parsed.model))
                parsed = replace(parsed, body=lambda: data, length=len(data))
            headers |= {"Content-Type": parsed.content_type, "Content-Length": str(parsed.length)}
            upstream = await self._session.post(
                url + errand.path, data=parsed.body(), headers=headers, allow_redirects=False
            )
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

    async def _detokenized(self, url: str, model: str, token_ids: Sequence[int]) -> str:
        """The text of these ids, by the engine's own tokenizer."""
        body = {"model": model, "tokens": token_ids}
        timeout = aiohttp.ClientTimeout(total=DETOKENIZE_TIMEOUT_S)
        async with self._session.post(url + "/detokenize", json=body, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ReplicaFailed(f"it answered {answer.status} to /detokenize", suspect=False)
            told = msgspec.json.decode(await answer.read())
            return str(told["prompt"])

    async def _deliver(self, task: _Task, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
        upstream, plan = answer.upstream, task.plan
        if upstream.status >= 400:
            error = engine_error(upstream.status, answer.head[:MOST_ERROR_BYTES]).response()
            error.headers.update(headers)
            return error
        headers["Content-Type"] = upstream.headers.get("Content-Type", "application/json")
        if not answer.streams:
            plan.usage.take_whole(answer.head)
            return web.Response(body=answer.head, headers=headers)
        headers |= {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(task.request)
        task.stream = ClientStream(
            response, plan.usage, plan.follower, task.request.transport, self.settings.write_timeout_s
        )
        await task.stream.pass_on(answer)
        return response

    async def _deliver_rest(
        self, answer: Answer, stream: ClientStream, continuation: Continuation | None, model: str
    ) -> web.StreamResponse:
        """Goes on with a stream that is open already. Raises ApiError where the replica refuses."""
        if answer.upstream.status >= 400:
            raise engine_error(answer.upstream.status, answer.head[:MOST_ERROR_BYTES])
        if not answer.streams:
            raise ReplicaFailed("its answer is no stream", suspect=False)
        self.metrics.resumed_streams.labels(model).inc()
        await stream.pass_on(answer, continuation.splice if continuation else None)
        return stream.response
