"""The rule as an ASGI application around another. A class: what is a function meets no WebSocket in vLLM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from deployments.engine.access.keys import EngineKeys
from deployments.engine.access.rules import ENGINE_ROUTES, Refusal, Route, refusal, websocket_refusal

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
                reason = refusal(self._keys, self._routes, scope["method"], scope["path"], _authorization(scope))
                if reason is None:
                    await self._app(scope, receive, send)
                else:
                    await _answer(send, "http.response", reason)
            case "websocket":
                reason = websocket_refusal(self._keys, _authorization(scope))
                await receive()  # its `websocket.connect`
                if DENIAL_EXTENSION in (scope.get("extensions") or {}):
                    await _answer(send, DENIAL_EXTENSION, reason)
                else:
                    await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            case other:
                raise NotImplementedError(f"no rule for ASGI connections of type '{other}'")


def _authorization(scope: Scope) -> bytes | None:
    """The one `Authorization` header; None where there are none or several."""
    found = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    return bytes(found[0]) if len(found) == 1 else None


async def _answer(send: Send, kind: str, reason: Refusal) -> None:
    body = reason.body()
    headers = {**reason.headers, "Content-Length": str(len(body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": reason.status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
