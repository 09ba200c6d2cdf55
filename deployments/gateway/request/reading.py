"""What the gateway reads of a request: the model, and how much work it is. The body stays bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from aiohttp import web

from deployments.gateway.preparation.bodies.body import BodyFile
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.preparation.bodies.json_body import JsonSettings, PreparedJson
from deployments.gateway.preparation.bodies.receiving import receive_json
from deployments.gateway.preparation.preparer import Preparer
from deployments.routing import Request


@dataclass
class ParsedRequest:
    """A request that is ready to be sent, any number of times.

    Attributes:
        amount: what it may cost: tokens of prompt and answer, or seconds of audio.
        body: called anew for each attempt: the bytes themselves, or an iterator over a file.
        length: the body's size in bytes.
    """

    model: str
    request: Request
    amount: float
    body: Callable[[], bytes | AsyncIterator[bytes]]
    length: int
    content_type: str
    prepared: PreparedJson | None = None
    """Of a JSON body."""
    close: Callable[[], None] = field(default=lambda: None)
    unknown_fields: str = ""
    """Fields that were dropped, as a header lists them."""


async def read_json(
    request: web.Request,
    preparer: Preparer,
    settings: JsonSettings,
    most_bytes: int,
    claim: ByteClaim,
    tenant: str = "",
) -> ParsedRequest:
    """Receives and prepares a JSON body. Raises ApiError 400, 413 or 503 where it cannot be used."""
    body = await receive_json(request, preparer, most_bytes, claim, tenant)
    try:
        prepared, sent = await preparer.json_body(body, settings, tenant, claim)
    except BaseException:
        _close(body)
        raise
    if sent is not body:
        _close(body)
    return ParsedRequest(
        model=prepared.model,
        request=Request(tokens=prepared.tokens, streams=prepared.streams, sequences=prepared.sequences),
        amount=prepared.amount,
        body=sent.pieces if isinstance(sent, BodyFile) else lambda: sent,
        length=sent.size if isinstance(sent, BodyFile) else len(sent),
        content_type="application/json",
        prepared=prepared,
        close=lambda: _close(sent),
        unknown_fields=prepared.unknown_fields,
    )


def _close(body: bytes | BodyFile) -> None:
    if isinstance(body, BodyFile):
        body.close()
