"""Charges a tenant for its requests and for their work, and tells what is left."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.route import ModelRoute
from deployments.gateway.errors import ApiError
from deployments.gateway.limits import OverLimit, Unit
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request_context import RequestContext
from deployments.gateway.state import GatewayState


async def quota(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """The work is charged by an estimate once the body is prepared, and settled here by what the engine reports."""
    if not isinstance(context.route, ModelRoute):
        return await following(context)
    try:
        context.tenant.quota.charge(Unit.REQUESTS)
        response = await following(context)
        if response.status >= 400:
            context.charge.settle(0)
        return response
    except ApiError as error:
        context.charge.settle(0)
        if isinstance(error, OverLimit):
            state.metrics.limit_refusals.labels(context.tenant.name, error.unit).inc()
        raise
    finally:
        _settle(context, context.route)


def charge_work(context: RequestContext, route: ModelRoute) -> None:
    """Raises OverLimit where the tenant has not enough left."""
    if route.unit:
        context.charge = context.tenant.quota.charge(route.unit, context.parsed.amount)


def _settle(context: RequestContext, route: ModelRoute) -> None:
    """By what the answer reported, or has had of it where its client left; else it stays charged as estimated."""
    if route.unit and context.charge.open and hasattr(context, "upstream"):
        amount = context.usage.amount(route.unit, context.parsed.request.tokens)
        if amount is not None:
            context.charge.settle(amount)
