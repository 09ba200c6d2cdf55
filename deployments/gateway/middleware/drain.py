"""Counts requests in flight, and refuses further ones once the gateway drains."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.route import ModelRoute
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def drain(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """Health and metrics are answered until the end."""
    if not isinstance(context.route, ModelRoute):
        return await following(context)
    state.in_flight.check()
    with state.in_flight:
        return await following(context)
