"""The HTTP server: which routes a task has, and what every request passes first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress

from aiohttp import web

from cluster.fleet import Task
from deployments.engine.fake.config import FakeConfig
from deployments.engine.fake.engine import ENGINE, Engine
from deployments.engine.fake.errors import EngineError, from_status
from deployments.engine.fake.faults import AnswerBroken
from deployments.engine.fake.routes import about, audio, chat, completions, responses, tokens

MOST_BODY_BYTES = 64 * 2**20
TEST_ROUTES = frozenset({("GET", "/stats"), ("POST", "/fault"), ("DELETE", "/fault"), ("POST", "/reset_prefix_cache")})
"""What vLLM does not have, or not in a fleet: for tests that hold the fleet's key."""

ALWAYS_ANSWERED = ("/fault", "/stats")
"""Whatever fault is set."""

log = logging.getLogger(__name__)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TEXT_ROUTES: dict[str, Handler] = {
    "/v1/chat/completions": chat.create_chat_completion,
    "/v1/completions": completions.create_completion,
    "/v1/responses": responses.create_response,
}
AUDIO_ROUTES: dict[str, Handler] = {
    "/v1/audio/transcriptions": audio.create_transcription,
    "/v1/audio/translations": audio.create_translation,
}
ROUTES_OF_TASK = {Task.CHAT: TEXT_ROUTES, Task.VISION_CHAT: TEXT_ROUTES, Task.TRANSCRIPTION: AUDIO_ROUTES}
TOLD: dict[str, Handler] = {
    "/health": about.health,
    "/ping": about.health,
    "/version": about.show_version,
    "/load": about.load,
    "/metrics": about.metrics,
    "/v1/models": about.models,
    "/kv_event_sources": about.kv_event_sources,
    "/stats": about.stats,
}
POSTED: dict[str, Handler] = {
    "/tokenize": tokens.tokenize,
    "/detokenize": tokens.detokenize,
    "/ping": about.health,
    "/reset_prefix_cache": about.reset_prefix_cache,
    "/fault": about.set_fault,
}


def make_app(config: FakeConfig) -> web.Application:
    """The application of one engine; it starts after `startup_s` seconds and runs its scheduler until its cleanup.

    Where prefixes are reused, KV events are published for processes of the same user.
    """
    app = web.Application(middlewares=[_guarded], client_max_size=MOST_BODY_BYTES)
    app[ENGINE] = Engine(config)
    app.add_routes([web.get(path, handler) for path, handler in TOLD.items()])
    app.add_routes([web.post(path, handler) for path, handler in (POSTED | ROUTES_OF_TASK[config.task]).items()])
    app.add_routes([web.delete("/fault", about.reset_faults)])
    app.cleanup_ctx.append(_engine_runs)
    return app


async def _engine_runs(app: web.Application) -> AsyncIterator[None]:
    engine = app[ENGINE]
    await asyncio.sleep(engine.config.speed.startup_s)
    async with engine.publisher.opened() if engine.config.reuses_prefixes else nullcontext():
        running = asyncio.create_task(engine.scheduler.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Faults before the handler, errors in vLLM's shape after it."""
    try:
        if request.path not in ALWAYS_ANSWERED:
            await _faults(request)
        return await handler(request)
    except EngineError as error:
        return error.response()
    except web.HTTPException as error:
        return from_status(error.status, error.reason).response()
    except (AnswerBroken, ConnectionResetError):
        # The client is gone: the HTTP layer finds the connection closed and drops this response.
        return web.Response()


async def _faults(request: web.Request) -> None:
    faults = request.app[ENGINE].faults
    await faults.not_hanging()
    if request.method == "POST" and request.path.startswith("/v1/"):
        if faults.stall_s:
            await asyncio.sleep(faults.stall_s)
        if (status := faults.take_failure()) is not None:
            raise EngineError("this request was told to fail", status, "InternalServerError")
