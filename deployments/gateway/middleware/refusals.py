"""Turns every error into OpenAI's error object."""

from __future__ import annotations

import asyncio

from aiohttp import web

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.http_log import logger
from deployments.gateway.middleware.middleware import Answer
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def refusals(state: GatewayState, context: RequestContext, following: Answer) -> web.StreamResponse:
    try:
        return await following(context)
    except ApiError as error:
        response = error.response()
    except web.HTTPException as error:
        response = ApiError(error.status, error.reason).response()
    except (asyncio.CancelledError, ConnectionResetError):
        raise
    except Exception as error:
        logger.exception("request %s failed unexpectedly", context.request_id)
        if stream := context.stream:  # another answer would be taken for that of the connection's next request
            return stream.response if stream.ended else await stream.fail("the gateway failed unexpectedly", "internal")
        response = ApiError(
            500, f"the gateway failed unexpectedly ({type(error).__name__})", code="internal"
        ).response()
    if state.in_flight.draining:
        response.force_close()
    return response
