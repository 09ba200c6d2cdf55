"""From a connection to a body that preparation reads: received within limits, and decoded where it was compressed."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.preparation.bodies.body import INLINE_BYTES, BodyFile, receive
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.preparation.bodies.encoding import content_encoding, most_decoded
from deployments.gateway.preparation.preparer import Preparer

JSON_BODY = "a JSON body"


async def receive_json(
    request: web.Request, preparer: Preparer, most_bytes: int, claim: ByteClaim, tenant: str = ""
) -> bytes | BodyFile:
    """A JSON body: bytes where it is small enough to be prepared inline, else a file, which the caller closes.

    Raises ApiError 400, 413, 415 or 503.
    """
    if encoding := content_encoding(request.headers):
        return await _decoded(request, preparer, encoding, most_bytes, claim, tenant, JSON_BODY)
    return await receive(request, most_bytes, claim, JSON_BODY, INLINE_BYTES)


async def receive_file(
    request: web.Request, preparer: Preparer, most_bytes: int, claim: ByteClaim, tenant: str, what: str
) -> BodyFile:
    """A body as a file, which the caller closes, whatever its size. `what` names it in messages."""
    if encoding := content_encoding(request.headers):
        return await _decoded(request, preparer, encoding, most_bytes, claim, tenant, what)
    return await _file(request, most_bytes, claim, what)


async def _file(request: web.Request, most_bytes: int, claim: ByteClaim, what: str) -> BodyFile:
    body = await receive(request, most_bytes, claim, what, inline_bytes=-1)
    assert isinstance(body, BodyFile)
    return body


async def _decoded(
    request: web.Request,
    preparer: Preparer,
    encoding: str,
    most_bytes: int,
    claim: ByteClaim,
    tenant: str,
    what: str,
) -> BodyFile:
    """The decoded body counts against the budget with what it may become, before it does."""
    encoded = await _file(request, most_bytes, claim, what)
    try:
        reserved = most_decoded(encoded.size, most_bytes)
        claim.reserve(reserved)
        decoded = await preparer.decoded(encoded, encoding, most_bytes, tenant, what)
    finally:
        encoded.close()
    claim.give_back(reserved - decoded.size)
    return decoded
