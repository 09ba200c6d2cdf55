"""`python -m deployments.engine.fake --host HOST --port PORT --config JSON`: one fake engine until SIGTERM."""

from __future__ import annotations

import argparse
import logging

import uvloop
from aiohttp import web
from pydantic import ValidationError

from deployments.engine.access.aiohttp_server import engine_access
from deployments.engine.access.keys import EngineKeys
from deployments.engine.access.rules import ENGINE_ROUTES
from deployments.engine.access.tls import server_context
from deployments.engine.fake.config import FakeConfig
from deployments.engine.fake.server import TEST_ROUTES, make_app

SHUTDOWN_S = 0.5
"""Requests still open this long after SIGTERM are cut, as vLLM does."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deployments.engine.fake", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", required=True, help="JSON of deployments.engine.fake.config.FakeConfig")
    parser.add_argument("--keyless", action="store_true", help="answer anyone, as a server that is no fleet's")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = FakeConfig.model_validate_json(arguments.config)
    except ValidationError as error:
        parser.error(f"--config is not valid: {error}")
    app = make_app(config)
    if not arguments.keyless:
        app.middlewares.insert(0, engine_access(EngineKeys.of_environment(), ENGINE_ROUTES | TEST_ROUTES))
    logging.getLogger(__name__).info(
        "fake engine of %s on %s:%d", ", ".join(config.names), arguments.host, arguments.port
    )
    web.run_app(
        app,
        host=arguments.host,
        port=arguments.port,
        ssl_context=server_context(config.tls) if config.tls else None,
        shutdown_timeout=SHUTDOWN_S,
        access_log=None,
        print=None,
        handler_cancellation=True,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
