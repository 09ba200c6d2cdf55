"""The rule as a middleware of an aiohttp server, which the fake engine is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from deployments.engine.access.keys import CHALLENGE_HEADER, EngineKeys, engine_address
from deployments.engine.access.rules import ENGINE_ROUTES, Caller, Route, refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def engine_access(keys: EngineKeys, routes: Collection[Route] = ENGINE_ROUTES) -> Middleware:
    """The outermost middleware of an engine; a WebSocket is a GET here."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = refusal(keys, routes, request.method, request.path, _caller(request))
        if reason is None:
            return await handler(request)
        return web.Response(status=reason.status, body=reason.body(), headers=reason.headers)

    return guard


def _caller(request: web.Request) -> Caller:
    sent = request.headers.getall("Authorization", [])
    authorization = sent[0].encode("utf-8", "surrogateescape") if len(sent) == 1 else None
    name = request.get_extra_info("sockname")  # None of a connection that is closed already
    address = engine_address(name[0], name[1]) if name else ""
    return Caller(authorization, address, request.headers.get(CHALLENGE_HEADER, ""))
