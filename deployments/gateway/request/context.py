"""One request on its way through the gateway: what each step finds there, and what it leaves for the next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from deployments.gateway.admission.limits import Charge
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.proxy.charging import Work
from deployments.gateway.proxy.usage import AnswerUsage
from deployments.gateway.request.headers import RoutingHints
from deployments.routing import Request

if TYPE_CHECKING:
    from deployments.gateway.api.route import Route
    from deployments.gateway.identity.tenants import Tenant
    from deployments.gateway.proxy.client.stream import ClientStream
    from deployments.gateway.proxy.recovery.failover import Failover
    from deployments.gateway.replicas.directory import ServedModel
    from deployments.gateway.request.reading import ParsedRequest
    from deployments.gateway.resume import Continuation, Follower


@dataclass(frozen=True)
class UpstreamRequest:
    """What one replica is sent: the whole request, or the rest of a stream that another replica began.

    `work` is what the router prices and books.
    """

    path: str
    work: Request
    continuation: Continuation | None = None

    @property
    def tokens_before(self) -> int:
        """Tokens of the answer that the client has from other replicas."""
        return len(self.continuation.ids) if self.continuation else 0


class RequestContext:
    """Attributes without a value here are set by the step that their docstring names.

    Attributes:
        arrived: when the request came, by time.perf_counter().
        client_address: of the client as far as trusted proxies tell; the peer's of the connection without them.
        response_headers: that its answer gets beside its own, also where that is a stream or an error.
        claim: the request's part of the bytes in flight.
        charge: what its tenant was charged for the work of it.
        model_name: the fleet's name of its model, once that is known: labels metrics.
        replica: the name of the one that was booked last; '' before that.
        work: what engines did for it, as far as is known.
        failover: what it may still try after failures; None before its first attempt.
        stream: what its client sees, from the first byte of a stream on.
        renderer, max_model_len: of the replica that answered last; a stream's continuation takes them.
    """

    tenant: Tenant
    """Set by authentication, on routes of tenants."""
    parsed: ParsedRequest
    """Set by preparation."""
    served: ServedModel
    """Set by preparation."""
    upstream: UpstreamRequest
    """What the next replica is sent. Set by preparation, and by recovery for the rest of a stream."""

    def __init__(self, request: web.Request, route: Route, request_id: str, claim: ByteClaim) -> None:
        self.request, self.route, self.request_id, self.claim = request, route, request_id, claim
        self.arrived = time.perf_counter()
        self.client_address = request.remote or ""
        self.response_headers: dict[str, str] = {}
        self.hints = RoutingHints()
        self.charge = Charge(None, 0)
        self.model_name = self.replica = ""
        self.usage = AnswerUsage()
        self.follower: Follower | None = None
        self.not_followed = ""
        """Why no other replica could continue the stream."""
        self.work = Work(0)
        self.failover: Failover | None = None
        self.stream: ClientStream | None = None
        self.renderer = ""
        self.max_model_len: int | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self.arrived

    def close(self) -> None:
        """Gives back what the request holds of memory and of the retry budget."""
        if self.failover:
            self.failover.close()
        if self.stream:
            self.stream.comments.stop()
        if hasattr(self, "parsed"):
            self.parsed.close()
        self.claim.release()


CONTEXT = web.RequestKey("context", RequestContext)
"""Where aiohttp's request holds it, for what runs when the answer's head is sent."""
