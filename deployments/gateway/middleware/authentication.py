"""Finds out who asks, and whether they may."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.route import Access
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.request.headers import read_hints
from deployments.gateway.state import GatewayState


async def authentication(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """Sets the context's tenant; for an operator there is none."""
    access, headers = context.route.access, context.request.headers
    if access is Access.PUBLIC:
        return await following(context)
    if access is Access.OPERATOR or (access is Access.TENANT_OR_OPERATOR and state.operators.is_operator(headers)):
        state.operators.require(headers)
        return await following(context)
    context.tenant = state.tenants.authenticate(headers)
    context.claim.tenant = context.tenant.name
    context.hints = read_hints(headers, context.tenant.priority)
    return await following(context)
