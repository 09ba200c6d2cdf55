"""The HTTP server of one gateway: a listener, routes, and a state that someone keeps up to date."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from cluster.fleet import Fleet
from deployments.gateway.api import ROUTES
from deployments.gateway.api.openapi.published import DESCRIPTION, ApiDescription
from deployments.gateway.api.route import Access, OwnRoute, Route
from deployments.gateway.api.unknown import refusal
from deployments.gateway.errors.http_errors import REQUEST_ID, Runner, name_answer
from deployments.gateway.http_log import logger
from deployments.gateway.lifecycle import RequestLifecycle
from deployments.gateway.request.context import CONTEXT, RequestContext
from deployments.gateway.state import GatewayState
from deployments.gateway.supervision.listening_socket import BACKLOG, listening_sockets
from deployments.replica_info import ReplicaInfo

HAND_OVER_S = 10.0
"""Within which clients use an open connection once more, or have it closed."""
SHUTDOWN_TIMEOUT_S = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GatewayServer:
    """One gateway. Belongs to one event loop."""

    def __init__(self, fleet: Fleet, own_engines: bool = True) -> None:
        """As `GatewayState`."""
        self.fleet = fleet
        self.state = GatewayState(fleet, own_engines)
        self.port = 0
        self._lifecycle: RequestLifecycle | None = None
        self._runner: web.AppRunner | None = None
        self._sites: list[web.BaseSite] = []
        self._handing_over = False

    async def start(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Listens on these sockets, or else on the fleet's address. Raises OSError where it is taken, TlsError."""
        settings = self.fleet.gateway
        self._lifecycle = RequestLifecycle(self.state)
        self._runner = Runner(
            self._application(self._lifecycle),
            settings.write_timeout_s,
            access_log=None,
            logger=logger,
            auto_decompress=False,  # preparation workers decode what clients compressed
            handler_cancellation=True,  # a client that is gone ends its request's handler, and so the engine's work
            keepalive_timeout=settings.keepalive_s,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        await self._runner.setup()
        try:
            listening = sockets or listening_sockets(settings.host, settings.port)
            self._sites = [web.SockSite(self._runner, each, backlog=BACKLOG) for each in listening]
            for site in self._sites:
                await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = self._runner.addresses[0][1]

    def update(self, replicas: Sequence[ReplicaInfo]) -> None:
        """Takes the full list of replicas that are there now."""
        self.state.update(replicas)

    async def drain(self) -> bool:
        """Takes no further request and waits for the ends of those in flight, but no longer than the fleet allows.

        New ones get 503 and Retry-After. Returns whether all ended.
        """
        limit_s, in_flight = self.fleet.gateway.drain_timeout_s, self.state.in_flight
        ended = await in_flight.drain(limit_s)
        if not ended:
            logger.warning("%d requests are cut off: they have not ended within %g s", in_flight.count, limit_s)
        return ended

    async def hand_over(self) -> bool:
        """Stops for the sake of another gateway that accepts from the same socket.

        New connections are its own from now on. Requests on those that are open are still answered, the last ones:
        their answers close them. Then as `drain`.
        """
        assert self._runner is not None
        for site in self._sites:
            await site.stop()
        self._handing_over = True
        until = time.monotonic() + HAND_OVER_S
        while self._runner.server and self._runner.server.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return await self.drain()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        await self.state.close()
        if self._lifecycle:
            await self._lifecycle.close()

    def _application(self, lifecycle: RequestLifecycle) -> web.Application:
        app = web.Application()
        app[DESCRIPTION] = ApiDescription(self.fleet, ROUTES)
        app.on_response_prepare.append(self._add_headers)
        app.on_response_prepare.append(name_answer)
        for route in (*ROUTES, UNKNOWN):
            handler = _handler(lifecycle, route)
            if route.method == "GET":
                app.router.add_get(route.path, handler)  # with HEAD
            else:
                app.router.add_route(route.method, route.path, handler)
        return app

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        context = request.get(CONTEXT)
        if context is not None:
            response.headers[REQUEST_ID] = context.request_id
            response.headers.extend(context.response_headers)  # another `Vary` stays beside ours
            if hasattr(context, "tenant"):
                response.headers.update(context.tenant.quota.headers())
        if self._handing_over:
            response.force_close()
            response.headers["Connection"] = "close"


def _handler(lifecycle: RequestLifecycle, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await lifecycle.serve(request, route)

    return handle


async def _unknown(_: GatewayState, context: RequestContext) -> web.StreamResponse:
    raise refusal(context.request.method, context.request.path, ROUTES)


UNKNOWN = OwnRoute("*", "/{path:(?s:.*)}", Access.PUBLIC, "", _unknown)
"""Every path that no other route has."""
