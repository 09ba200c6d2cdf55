"""The rule as an ASGI application around another. A class: what is a function meets no WebSocket in vLLM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from deployments.engine.access.keys import CHALLENGE_HEADER, EngineKeys, engine_address
from deployments.engine.access.rules import ENGINE_ROUTES, Caller, Refusal, Route, refusal, websocket_refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

DENIAL_EXTENSION = "websocket.http.response"
POLICY_VIOLATION = 1008


class EngineAccess:
    """Passes on what the rule allows, answers everything else itself, and knows no third kind of connection."""

    def __init__(self, app: Application, keys: EngineKeys, routes: Collection[Route] = ENGINE_ROUTES) -> None:
        self._app, self._keys, self._routes = app, keys, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http":
                reason = refusal(self._keys, self._routes, scope["method"], scope["path"], _caller(scope))
                if reason is None:
                    await self._app(scope, receive, send)
                else:
                    await _answer(send, "http.response", reason)
            case "websocket":
                reason = websocket_refusal(self._keys, _caller(scope))
                await receive()  # its `websocket.connect`
                if DENIAL_EXTENSION in (scope.get("extensions") or {}):
                    await _answer(send, DENIAL_EXTENSION, reason)
                else:
                    await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            case other:
                raise NotImplementedError(f"no rule for ASGI connections of type '{other}'")


def _caller(scope: Scope) -> Caller:
    keys = _values(scope, b"authorization")
    challenge = _values(scope, CHALLENGE_HEADER.lower().encode())
    server = scope.get("server")
    return Caller(
        keys[0] if len(keys) == 1 else None,
        engine_address(*server) if server else "",
        challenge[0].decode("utf-8", "surrogateescape") if challenge else "",
    )


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [bytes(value) for name, value in scope["headers"] if name.lower() == wanted]


async def _answer(send: Send, kind: str, reason: Refusal) -> None:
    body = reason.body()
    headers = {**reason.headers, "Content-Length": str(len(body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": reason.status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
