"""Finds out which client a request came from, where proxies stand in front of the gateway."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.identity.forwarded import client_address as address_of
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def client_address(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """Sets the context's `client_address`, which is the connection's peer before."""
    trusted = state.fleet.gateway.trusted_proxies
    context.client_address = address_of(context.client_address, context.request.headers, trusted)
    return await following(context)
