"""Routes for those who run the fleet: they tell of all tenants."""

from __future__ import annotations

import re

from aiohttp import web

from deployments.gateway.api.openapi.operation import JSON, TEXT, Operation, Parameter
from deployments.gateway.api.openapi.schemas import COUNT, OBJECT, STRING, array, record
from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.replicas.routing_state import describe
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

DECISIONS = re.compile(r"[0-9]{1,6}", re.ASCII)


async def metrics(state: GatewayState, context: RequestContext) -> web.Response:
    return web.Response(body=await state.render_metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def routing(state: GatewayState, context: RequestContext) -> web.Response:
    """The state of each model's router, and its last decisions."""
    count = context.request.query.get("decisions", "16")
    if not DECISIONS.fullmatch(count):
        raise ApiError(400, f"`decisions` is '{count[:20]}'; send a number of decisions to list", param="decisions")
    return web.json_response([describe(served, state.feeds, int(count)) for served in state.directory.models])


ROUTER = record(
    {
        "model": STRING,
        "policy": STRING,
        "waiting_requests": COUNT,
        "index": OBJECT,
        "replicas": array(record({"replica": STRING, "pool": STRING})),
        "decisions": array(OBJECT),
    }
)
LISTED = Parameter(
    "decisions", "query", {"type": "integer", "minimum": 0, "maximum": 999_999}, "Last decisions to list for a model."
)

ROUTES = (
    OwnRoute(
        "GET",
        "/metrics",
        Access.OPERATOR,
        "Metrics in Prometheus' text format",
        metrics,
        operation=Operation({TEXT: STRING}),
    ),
    OwnRoute(
        "GET",
        "/debug/routing",
        Access.OPERATOR,
        "State of the routers and their last decisions",
        routing,
        operation=Operation({JSON: array(ROUTER)}, parameters=(LISTED,)),
    ),
)
