"""Counts and times every request of a model route, by route, model, tenant and status."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.route import ModelRoute
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

CLIENT_LEFT = 499
"""As nginx counts a client that went away before its answer."""


async def measurement(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    if not isinstance(context.route, ModelRoute):
        return await following(context)
    status = CLIENT_LEFT
    try:
        response = await following(context)
        status = response.status
        return response
    finally:
        path, model, metrics = context.route.path, context.model_name, state.metrics
        metrics.requests.labels(path, model, status).inc()
        metrics.duration.labels(path, model).observe(context.elapsed_s)
        if hasattr(context, "tenant"):
            metrics.tenant_requests.labels(context.tenant.name, status).inc()
