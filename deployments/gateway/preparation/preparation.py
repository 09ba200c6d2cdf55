"""Step 3 of a request: its body is received, decoded, checked, rendered, tokenised and keyed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.gateway.errors.error_object import ApiError, shortened
from deployments.gateway.preparation.bodies.json_body import PreparedJson
from deployments.gateway.proxy.charging import Work
from deployments.gateway.proxy.usage import AnswerUsage
from deployments.gateway.replicas.directory import ServedModel
from deployments.gateway.request.context import RequestContext, UpstreamRequest
from deployments.gateway.resume import Follower

if TYPE_CHECKING:
    from deployments.gateway.api.route import ModelRoute
    from deployments.gateway.state import GatewayState


class Preparation:
    """Makes of a client's bytes what the router chooses by and what a replica is sent."""

    def __init__(self, state: GatewayState, routes: Sequence[ModelRoute]) -> None:
        """`routes`: all that replicas answer."""
        self._state, self._routes = state, routes
        self._settings = state.fleet.gateway

    async def receive(self, context: RequestContext, route: ModelRoute) -> None:
        """Sets the context's `parsed` and `served`. Raises ApiError 400, 404, 408, 413 or 503."""
        limit_s = self._settings.body_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                context.parsed = await route.read(self._state, context, route)
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {limit_s:g} s; send it faster") from None
        context.served = self._served(context, route)
        context.model_name = context.served.model.name

    def complete(self, context: RequestContext, route: ModelRoute) -> None:
        """Sets what the router chooses by and how the answer is read. Raises ApiError 504 past its deadline."""
        context.hints.check(context.elapsed_s)
        parsed, served, hints = context.parsed, context.served, context.hints
        work = parsed.request
        # Two tenants may use the same word for their sessions.
        work.session = f"{context.tenant.salt}:{hints.session}" if hints.session else None
        work.priority, work.explained = hints.priority, hints.explained
        if hints.deadline_s is not None:
            work.deadline = time.monotonic() - context.elapsed_s + hints.deadline_s
        context.work = Work(work.tokens)
        if route.unit is None:
            work.tokens, work.sequences = 0, 1
            context.work = Work(0)
        elif prepared := parsed.prepared:
            self._follow(context, route, prepared)
            if prepared.prompt:
                work.keys = served.router.index.prompt_keys(prepared.prompt, prepared.salt)
                prepared.prompt = None  # up to 1 MB, which nothing reads until the answer ends
            work.tokens, work.image_tokens = prepared.tokens, prepared.image_tokens
            context.work = Work(prepared.tokens, prepared.sequences, prepared.allowed_tokens)
            if prepared.unkeyed:
                self._state.metrics.unkeyed.labels(context.model_name, prepared.unkeyed).inc()
        context.upstream = UpstreamRequest(route.path, work)

    def _follow(self, context: RequestContext, route: ModelRoute, prepared: PreparedJson) -> None:
        context.usage = AnswerUsage(prepared.usage_hidden)
        context.not_followed = prepared.unfollowed
        if prepared.resume_fields is not None:
            model, usage_asked = context.served.model, prepared.usage_hidden
            context.follower = Follower(route.bodies.prompt, prepared.resume_fields, model, include_usage=usage_asked)

    def _served(self, context: RequestContext, route: ModelRoute) -> ServedModel:
        """The model of the body. Raises ApiError 404 where it is not there for this tenant or not on this route."""
        name = context.parsed.model
        served = self._state.directory.open_model(name, context.tenant)
        task = served.model.task
        if task not in route.tasks:
            offered = ", ".join(each.path for each in self._routes if task in each.tasks)
            message = f"the model '{shortened(name)}' does not offer {route.path}; it offers {offered}"
            raise ApiError(404, message, code="route_not_offered")
        return served
