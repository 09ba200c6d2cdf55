"""How the body of a route is read: one function for each form of body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deployments.gateway.preparation.bodies.json_body import JsonSettings
from deployments.gateway.request.context import RequestContext
from deployments.gateway.request.reading import ParsedRequest, read_json
from deployments.gateway.request.upload import read_upload

if TYPE_CHECKING:
    from deployments.gateway.api.route import ModelRoute
    from deployments.gateway.state import GatewayState


async def read_json_body(state: GatewayState, context: RequestContext, route: ModelRoute) -> ParsedRequest:
    """Raises ApiError 400, 413 or 503 where the body cannot be used."""
    gateway = state.fleet.gateway
    settings = JsonSettings(
        route=route.bodies,
        keyed=not state.fleet.mlperf,
        tenant_salt=context.tenant.salt,
        media_domains=gateway.media_domains,
        resumes=gateway.resume,
        unknown_fields=gateway.unknown_fields,
        sources=state.sources,
    )
    limit = gateway.max_json_bytes
    return await read_json(context.request, state.preparer, settings, limit, context.claim, context.tenant.name)


async def read_audio_upload(state: GatewayState, context: RequestContext, route: ModelRoute) -> ParsedRequest:
    """The same for a multipart body with an audio file."""
    gateway = state.fleet.gateway
    return await read_upload(
        context.request,
        state.preparer,
        route.bodies,
        gateway.max_upload_bytes,
        context.claim,
        context.tenant.name,
        gateway.unknown_fields,
    )
