"""The rule as a middleware of an aiohttp server, which the fake engine is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from deployments.engine.access.keys import EngineKeys
from deployments.engine.access.rules import ENGINE_ROUTES, Route, refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def engine_access(keys: EngineKeys, routes: Collection[Route] = ENGINE_ROUTES) -> Middleware:
    """The outermost middleware of an engine; a WebSocket is a GET here."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        sent = request.headers.getall("Authorization", [])
        authorization = sent[0].encode("utf-8", "surrogateescape") if len(sent) == 1 else None
        reason = refusal(keys, routes, request.method, request.path, authorization)
        if reason is None:
            return await handler(request)
        return web.Response(status=reason.status, body=reason.body(), headers=reason.headers)

    return guard
