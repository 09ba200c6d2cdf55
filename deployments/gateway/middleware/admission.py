"""Lets a request in where there is room for its bytes, and takes them back at its end."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.route import ModelRoute
from deployments.gateway.file_reserve import FILES
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.proxy.answer_room import UNCOUNTED_BYTES
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def admission(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    """The bytes are claimed as the body comes. Whether a replica has room is asked once the work is known.

    Raises ApiError 503 where file descriptors run out. Health and metrics are answered until the end.
    """
    if isinstance(context.route, ModelRoute):
        FILES.check()
    try:
        response = await following(context)
        if isinstance(response, web.Response) and (response.content_length or 0) > UNCOUNTED_BYTES:
            await response.prepare(context.request)
            await response.write_eof()
        return response
    finally:
        context.close()
