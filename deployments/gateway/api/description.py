"""What the API is: its description for programs, and a page that shows it to people."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.openapi.operation import JSON, Operation
from deployments.gateway.api.openapi.page import CONTENT_SECURITY_POLICY, PAGE
from deployments.gateway.api.openapi.published import DESCRIPTION, Published
from deployments.gateway.api.openapi.schemas import OBJECT, STRING, record
from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

PUBLISHED_PAGE = Published.of(PAGE)
UNCHANGED = {304: {"description": "The document with the tag of your `If-None-Match` is still this one."}}
DOCUMENT = record({"openapi": STRING, "info": OBJECT, "paths": OBJECT})
TAG = ("ETag",)


async def openapi(state: GatewayState, context: RequestContext) -> web.Response:
    """Shows who asks what they may ask for, as the other routes do."""
    description = context.request.app[DESCRIPTION]
    tenant = getattr(context, "tenant", None)
    published = description.for_operator() if tenant is None else description.for_tenant(tenant)
    return published.response(context.request, JSON, {"Cache-Control": "private, no-cache", "Vary": "Authorization"})


async def docs(state: GatewayState, context: RequestContext) -> web.Response:
    """Holds nothing of the fleet: a browser sends no key when it opens a page."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return PUBLISHED_PAGE.response(context.request, "text/html", headers)


ROUTES = (
    OwnRoute(
        "GET",
        "/openapi.json",
        Access.TENANT_OR_OPERATOR,
        "This description",
        openapi,
        operation=Operation({JSON: DOCUMENT}, statuses=UNCHANGED, headers=TAG),
    ),
    OwnRoute(
        "GET",
        "/docs",
        Access.PUBLIC,
        "A page that shows this description",
        docs,
        operation=Operation({"text/html": STRING}, statuses=UNCHANGED, headers=TAG),
    ),
)
