"""Which requests an engine answers: pure decisions, the same for every kind of HTTP server."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from deployments.engine.access.keys import PROOF_HEADER, EngineKeys

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
    proof: str = ""

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.status == NO_KEY.status:
            headers["WWW-Authenticate"] = "Bearer"
        if self.proof:
            headers[PROOF_HEADER] = self.proof
        return headers

    def body(self) -> bytes:
        error = {"message": self.message, "type": "invalid_request_error", "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


NO_KEY = Refusal(
    401, "invalid_engine_key", "an engine answers only its own fleet; send the request to the fleet's gateway"
)
NO_ROUTE = Refusal(404, "route_not_offered", "the fleet uses no such route of its engines; ask its gateway")
NO_WEBSOCKET = Refusal(403, "route_not_offered", "the fleet uses no WebSocket of its engines; ask its gateway")


@dataclass(frozen=True)
class Caller:
    """Attributes:
    authorization: the one `Authorization` header; None where there are none or several.
    address: the `engine_address` that the connection came to.
    challenge: what the engine is to prove itself by; '' for nothing.
    """

    authorization: bytes | None
    address: str
    challenge: str = ""


def refusal(keys: EngineKeys, routes: Collection[Route], method: str, path: str, caller: Caller) -> Refusal | None:
    """Why this request gets no answer from the engine; None where it gets one."""
    if not keys.accepts(caller.authorization, caller.address):
        return _no_key(keys, caller)
    return None if (method, path) in routes else NO_ROUTE


def websocket_refusal(keys: EngineKeys, caller: Caller) -> Refusal:
    """Why a WebSocket is closed before it is accepted: no route of a fleet is one."""
    return NO_WEBSOCKET if keys.accepts(caller.authorization, caller.address) else _no_key(keys, caller)


def _no_key(keys: EngineKeys, caller: Caller) -> Refusal:
    """With the engine's proof, where the caller wants to see it before it shows its key."""
    return replace(NO_KEY, proof=keys.proof(caller.challenge, caller.address)) if caller.challenge else NO_KEY
