"""An engine that answers one route as a test says, for answers that the fake does not give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.processes import HOST

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def stub_engine(handler: Handler, health: Handler | None = None) -> AsyncIterator[str]:
    """Its address; every POST is answered by `handler`."""

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health or healthy)
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def sse(request: web.Request, *frames: bytes) -> web.StreamResponse:
    """A stream of these frames."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for frame in frames:
        await response.write(b"data: " + frame + b"\n\n")
    await response.write_eof()
    return response
