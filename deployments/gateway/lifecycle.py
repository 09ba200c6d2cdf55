"""A request's life, in eight steps."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api import MODEL_ROUTES
from deployments.gateway.api.route import ModelRoute, OwnRoute, Route
from deployments.gateway.errors.http_errors import request_id
from deployments.gateway.middleware import chain, middlewares_of
from deployments.gateway.middleware.quota import charge_work
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.preparation.preparation import Preparation
from deployments.gateway.proxy.proxy import FAILURES, Proxy
from deployments.gateway.request.context import CONTEXT, RequestContext
from deployments.gateway.state import GatewayState


class RequestLifecycle:
    """Answers requests from their arrival to the last byte. Belongs to one event loop."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._preparation = Preparation(state, MODEL_ROUTES)
        self._proxy = Proxy(state)
        self._through_middlewares = chain(middlewares_of(state.fleet.gateway), state, self._answer)

    async def close(self) -> None:
        await self._proxy.close()

    async def serve(self, request: web.Request, route: Route) -> web.StreamResponse:
        """The answer to a request of this route."""
        context = self._accept(request, route)  # 1. it gets an id, and its clock starts
        return await self._through_middlewares(context)  # 2. who asks, may they, is there room

    async def _answer(self, context: RequestContext) -> web.StreamResponse:
        if not isinstance(context.route, ModelRoute):
            return await self._answer_here(context)
        await self._prepare(context, context.route)  # 3. its body is checked, rendered, tokenised and keyed
        while True:
            try:
                async with self._proxy.book(context) as attempt:  # 4. a replica is chosen, and the work booked there
                    await attempt.send()  # 5. the body goes to that replica
                    response = await attempt.relay()  # 6. its answer goes back as it comes
                    attempt.settle()  # 7. the booking and the learned speed are corrected
                    return response
            except FAILURES as failure:
                ended = await self._proxy.recover(context, failure)  # 8. another replica answers, or goes on
                if ended is not None:
                    return ended

    def _accept(self, request: web.Request, route: Route) -> RequestContext:
        context = RequestContext(request, route, request_id(request.headers), ByteClaim(self._state.bytes))
        request[CONTEXT] = context
        return context

    async def _prepare(self, context: RequestContext, route: ModelRoute) -> None:
        await self._preparation.receive(context, route)
        charge_work(context, route)
        self._preparation.complete(context, route)

    async def _answer_here(self, context: RequestContext) -> web.StreamResponse:
        assert isinstance(context.route, OwnRoute)
        return await context.route.answer(self._state, context)
