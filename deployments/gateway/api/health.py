"""Whether this gateway process lives, and whether it can serve."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.openapi.operation import JSON, Operation
from deployments.gateway.api.openapi.schemas import ERROR_REFERENCE, STRING, array, described, record
from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def health(state: GatewayState, context: RequestContext) -> web.Response:
    return web.Response()


async def ready(state: GatewayState, context: RequestContext) -> web.Response:
    """503 while something is missing that a request would need."""
    waiting_for = ["drain"] if state.in_flight.draining else state.unready()
    return web.json_response({"waiting_for": waiting_for}, status=503 if waiting_for else 200)


WAITING = record({"waiting_for": array(STRING)})
UNREADY = described({"anyOf": [WAITING, ERROR_REFERENCE]}, "It cannot serve yet, or it stops.")

ROUTES = (
    OwnRoute("GET", "/health", Access.PUBLIC, "Whether the gateway lives", health),
    # What KubeRay asks of Serve's proxies, which are off.
    OwnRoute("GET", "/-/healthz", Access.PUBLIC, "Whether the gateway lives", health),
    OwnRoute(
        "GET",
        "/ready",
        Access.PUBLIC,
        "What the gateway waits for before it can serve",
        ready,
        operation=Operation({JSON: WAITING}, statuses={503: UNREADY}),
    ),
)
