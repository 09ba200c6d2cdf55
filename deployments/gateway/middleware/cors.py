"""Lets web pages of the origins that the fleet file names read answers (CORS)."""

from __future__ import annotations

import re

from aiohttp import web

from cluster.fleet import Cors
from cluster.fleet.cors import ANY
from deployments.gateway.api.openapi.headers import ANSWER_HEADERS
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

METHODS = "GET, HEAD, POST"
EXPOSED = ", ".join(ANSWER_HEADERS)
HEADER_NAMES = re.compile(r"[A-Za-z0-9-]+(?:[ \t]*,[ \t]*[A-Za-z0-9-]+)*")
MOST_HEADER_NAMES = 2000
"""Characters of the header names that a page may announce."""


async def cors(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """Browsers ask for permission (a preflight) without a key. The answer is the same for every path and page of an
    allowed origin, and nothing else looks at the request."""
    settings = state.fleet.gateway.cors
    assert settings is not None, "in the way of requests only where the fleet has them"
    headers = context.request.headers
    origin = headers.get("Origin")
    if ANY not in settings.allowed_origins:
        context.response_headers["Vary"] = "Origin"
    if origin is None or not _is_allowed(origin, settings):
        return await following(context)
    context.response_headers.update(_permission(origin, settings))
    if context.request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
        wanted = headers.get("Access-Control-Request-Headers", "")
        return web.Response(status=204, headers=_preflight(wanted, settings))
    context.response_headers["Access-Control-Expose-Headers"] = EXPOSED
    return await following(context)


def _is_allowed(origin: str, settings: Cors) -> bool:
    return ANY in settings.allowed_origins or origin in settings.allowed_origins


def _permission(origin: str, settings: Cors) -> dict[str, str]:
    permission = {"Access-Control-Allow-Origin": ANY if ANY in settings.allowed_origins else origin}
    if settings.allow_credentials:
        permission["Access-Control-Allow-Credentials"] = "true"
    return permission


def _preflight(wanted: str, settings: Cors) -> dict[str, str]:
    """`*` is answered with the names that the page wants: browsers do not take it to mean `Authorization`."""
    allowed = ", ".join(settings.allowed_headers)
    if ANY in settings.allowed_headers:
        allowed = wanted if len(wanted) <= MOST_HEADER_NAMES and HEADER_NAMES.fullmatch(wanted) else ""
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": str(settings.max_age_s),
        **({"Access-Control-Allow-Headers": allowed} if allowed else {}),
    }
