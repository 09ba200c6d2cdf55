"""Charges a tenant for its requests and for their work, and tells what is left."""

from __future__ import annotations

import time

from aiohttp import web

from deployments.gateway.admission.limits import OverLimit, Unit
from deployments.gateway.api.route import ModelRoute
from deployments.gateway.errors.error_object import ApiError, ComputedError
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

TIMED_OUT = 504
"""An engine has worked on such a request until its time was up."""


async def quota(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """The work is charged by an estimate once the body is prepared, and settled here by what the engine reports."""
    if not isinstance(context.route, ModelRoute):
        return await following(context)
    try:
        context.tenant.quota.charge(Unit.REQUESTS)
        response = await following(context)
        if response.status >= 400 and response.status != TIMED_OUT:
            context.charge.settle(0)
        return response
    except ApiError as error:
        was_computed = isinstance(error, ComputedError) or (error.status == TIMED_OUT and hasattr(context, "upstream"))
        if not was_computed:
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
    """By what engines computed; where nothing tells, it stays charged as estimated."""
    if not route.unit or not context.charge.open or not hasattr(context, "upstream"):
        return
    if context.follower:
        context.work.emitted = context.follower.emitted.count()
    if (amount := context.work.used(route.unit, context.usage, time.monotonic())) is not None:
        context.charge.settle(amount)
