"""What a middleware is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState

Answer = Callable[[RequestContext], Awaitable[web.StreamResponse]]


class Middleware(Protocol):
    """Answers a request itself, raises ApiError, or calls `following` once and may look at what comes of it."""

    async def __call__(self, state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse: ...


def chain(middlewares: Sequence[Middleware], state: GatewayState, answer: Answer) -> Answer:
    """`answer` behind all of them, the first of them outermost."""
    for middleware in reversed(middlewares):
        answer = _before(middleware, state, answer)
    return answer


def _before(middleware: Middleware, state: GatewayState, following: Answer) -> Answer:
    return lambda context: middleware(state, context, following)
