"""Which requests an engine answers: pure decisions, the same for every kind of HTTP server."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from deployments.engine.access.keys import EngineKeys

Route = tuple[str, str]
"""A method and an exact path."""

WORK = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/tokenize",
    "/detokenize",
)
"""What the gateway sends on to engines."""

FACTS = ("/health", "/version", "/v1/models", "/kv_event_sources", "/metrics")
"""What the replica beside an engine reads."""

ENGINE_ROUTES = frozenset([*(("POST", path) for path in WORK), *(("GET", path) for path in FACTS)])
"""All that anyone may ask of an engine."""


@dataclass(frozen=True)
class Refusal:
    """An answer in the engine's place, as OpenAI's error object."""

    status: int
    code: str
    message: str

    @property
    def headers(self) -> dict[str, str]:
        challenge = {"WWW-Authenticate": "Bearer"} if self.status == NO_KEY.status else {}
        return {"Content-Type": "application/json", **challenge}

    def body(self) -> bytes:
        error = {"message": self.message, "type": "invalid_request_error", "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


NO_KEY = Refusal(
    401, "invalid_engine_key", "an engine answers only its own fleet; send the request to the fleet's gateway"
)
NO_ROUTE = Refusal(404, "route_not_offered", "the fleet uses no such route of its engines; ask its gateway")
NO_WEBSOCKET = Refusal(403, "route_not_offered", "the fleet uses no WebSocket of its engines; ask its gateway")


def refusal(
    keys: EngineKeys, routes: Collection[Route], method: str, path: str, authorization: bytes | None
) -> Refusal | None:
    """Why this request gets no answer from the engine; None where it gets one."""
    if not keys.accepts(authorization):
        return NO_KEY
    return None if (method, path) in routes else NO_ROUTE


def websocket_refusal(keys: EngineKeys, authorization: bytes | None) -> Refusal:
    """Why a WebSocket is closed before it is accepted: no route of a fleet is one."""
    return NO_WEBSOCKET if keys.accepts(authorization) else NO_KEY
