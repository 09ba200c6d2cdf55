"""Writes a line for each request to the access log: JSON, without keys, prompts, or paths that no route has."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from aiohttp import web

from deployments.gateway.access_log import access_logger
from deployments.gateway.middleware.measurement import CLIENT_LEFT
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

METHOD_CHARACTERS = 16
"""Longer methods are clients' inventions."""


class Outcome(StrEnum):
    """How an answer ended for its client."""

    COMPLETE = "complete"
    BROKEN = "broken"
    """A stream that ended with an error."""
    CLIENT_LEFT = "client_left"
    STOPPED = "stopped"
    """It was cut off because the gateway stopped."""


class Line(msgspec.Struct, omit_defaults=True):
    """What is told of one request. What is not known is left out.

    Attributes:
        status: as the client saw it; 499 where it left before.
        bytes_in, bytes_out: of the body as it came, and of the answer's body.
        ttft_s: until the first piece of a stream was sent.
    """

    time: datetime
    request_id: str
    client: str
    method: str
    route: str
    status: int
    outcome: Outcome
    duration_s: float
    bytes_in: int
    bytes_out: int
    tenant: str = ""
    model: str = ""
    replica: str = ""
    ttft_s: float | None = None

    @property
    def is_error(self) -> bool:
        return self.status >= 400 or self.outcome is not Outcome.COMPLETE


_ENCODER = msgspec.json.Encoder()


async def access_log(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """Stands outside of `refusals`, to see what they became."""
    response = None
    try:
        response = await following(context)
        return response
    finally:
        line = _line(context, response)
        if state.fleet.gateway.access_log == "all" or line.is_error:
            access_logger.info(_ENCODER.encode(line).decode())


def _line(context: RequestContext, response: web.StreamResponse | None) -> Line:
    request, stream = context.request, context.stream
    if stream:
        status, sent = stream.response.status, stream.sent_bytes
    elif response:
        status, sent = response.status, response.content_length or 0
    else:
        status, sent = CLIENT_LEFT, 0
    line = Line(
        time=datetime.now(UTC),
        request_id=context.request_id,
        client=context.client_address,
        method=request.method[:METHOD_CHARACTERS],
        route=context.route.template,
        status=status,
        outcome=_outcome(context, response),
        duration_s=round(context.elapsed_s, 6),
        bytes_in=request.content.total_bytes,
        bytes_out=sent,
        model=context.model_name,
        replica=context.replica,
    )
    if hasattr(context, "tenant"):
        line.tenant = context.tenant.name
    if stream and stream.first_shown is not None:
        line.ttft_s = round(stream.first_shown - context.arrived, 6)
    return line


def _outcome(context: RequestContext, response: web.StreamResponse | None) -> Outcome:
    if response is None:
        transport = context.request.transport
        return Outcome.CLIENT_LEFT if transport is None or transport.is_closing() else Outcome.STOPPED
    return Outcome.BROKEN if context.stream and context.stream.failed else Outcome.COMPLETE
