"""Multipart uploads: received whole before a replica is chosen, so that they can be sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from aiohttp import web

from deployments.gateway.preparation.bodies.body import BodyFile
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.preparation.bodies.form import boundary_of
from deployments.gateway.preparation.bodies.form_body import FORM_OVERHEAD, MOST_FIELD, FormSettings, PreparedForm
from deployments.gateway.preparation.bodies.receiving import receive_file
from deployments.gateway.preparation.preparer import Preparer
from deployments.gateway.request.reading import ParsedRequest
from deployments.gateway.request.route_bodies import RouteBodies
from deployments.routing import Request
from deployments.routing.work import audio_seconds

__all__ = ["FORM_OVERHEAD", "MOST_FIELD", "read_upload"]

UPLOAD = "an upload"


async def read_upload(
    request: web.Request,
    preparer: Preparer,
    route: RouteBodies,
    most_file: int,
    claim: ByteClaim,
    tenant: str = "",
    unknown_fields: Literal["drop", "refuse"] = "drop",
) -> ParsedRequest:
    """Receives and prepares a form with an audio file. Raises ApiError 400, 413, 415 or 503."""
    # As the bytes it came in: text would be encoded as Latin-1, which not every boundary is.
    boundary = boundary_of(request.headers.get("Content-Type", "").encode("utf-8", "surrogateescape"))
    body = await receive_file(request, preparer, most_file + FORM_OVERHEAD, claim, tenant, UPLOAD)
    try:
        settings = FormSettings(boundary.decode("latin-1"), most_file, route, unknown_fields)
        form, before = await preparer.form(body, settings, tenant)
    except BaseException:
        body.close()
        raise
    size = form.end - form.start
    audio_s = audio_seconds(form.seconds, size)
    end = _end(form)

    def close() -> None:
        body.close()
        before.close()

    return ParsedRequest(
        model=form.model,
        request=Request(audio_s=audio_s, streams=False, sequences=form.sequences),
        amount=audio_s,
        body=lambda: _pieces(before, body, form),
        length=before.size + size + len(end),
        content_type=f"multipart/form-data; boundary={form.boundary}",
        close=close,
        unknown_fields=form.unknown_fields,
    )


async def _pieces(before: BodyFile, body: BodyFile, form: PreparedForm) -> AsyncIterator[bytes]:
    """The body to send, from its start, for one attempt."""
    async for piece in before.pieces():
        yield piece
    async for piece in body.pieces(form.start, form.end):
        yield piece
    yield _end(form)


def _end(form: PreparedForm) -> bytes:
    return f"\r\n--{form.boundary}--\r\n".encode()
