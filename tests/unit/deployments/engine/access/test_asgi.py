from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.engine.access.asgi import EngineAccess, Message, Receive, Scope, Send
from tests.support.engine_keys import engine_keys

URL = "http://127.0.0.1:8000"
KEY = ("authorization", engine_keys().headers(URL)["Authorization"])
OTHER_KEY = ("authorization", engine_keys().headers("http://127.0.0.1:8001")["Authorization"])


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """What the rule stands before: it says that it was reached."""
    await send({"type": "reached", "kind": scope["type"]})


async def sent_by(kind: str, *headers: tuple[str, str], **scope: Any) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in headers]
    connection = {"type": kind, "method": "GET", "path": "/health", "headers": encoded}
    await EngineAccess(behind, engine_keys())({**connection, "server": ("127.0.0.1", 8000), **scope}, receive, send)
    return sent


async def test_a_listed_route_with_the_key_is_passed_on() -> None:
    assert await sent_by("http", KEY) == [{"type": "reached", "kind": "http"}]


async def test_the_servers_own_life_is_passed_on() -> None:
    assert await sent_by("lifespan") == [{"type": "reached", "kind": "lifespan"}]


@pytest.mark.parametrize(
    ("headers", "scope", "status"),
    [
        ((), {}, 401),
        ((), {"method": "OPTIONS"}, 401),
        ((KEY, KEY), {}, 401),
        ((OTHER_KEY,), {}, 401),
        ((KEY,), {"server": None}, 401),
        ((KEY, ("Authorization", "Bearer x")), {}, 401),
        ((KEY,), {"method": "OPTIONS"}, 404),
        ((KEY,), {"path": "/docs"}, 404),
    ],
)
async def test_everything_else_is_answered_by_an_error_object(
    headers: tuple[tuple[str, str], ...], scope: dict[str, Any], status: int
) -> None:
    start, body = await sent_by("http", *headers, **scope)
    assert (start["type"], start["status"]) == ("http.response.start", status)
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert json.loads(body["body"])["error"]["message"]


async def test_an_engine_proves_itself_before_it_sees_a_key() -> None:
    start, _ = await sent_by("http", ("x-mixfleet-challenge", "one"))
    assert start["status"] == 401
    proof = dict(start["headers"])[b"x-mixfleet-proof"].decode()
    assert engine_keys().proves(proof, "one", URL)
    assert not engine_keys().proves(proof, "another", URL)
    start, _ = await sent_by("http")
    assert b"x-mixfleet-proof" not in dict(start["headers"])


@pytest.mark.parametrize(("headers", "status"), [((), 401), ((KEY,), 403)])
async def test_a_websocket_is_closed_before_it_is_accepted(headers: tuple[tuple[str, str], ...], status: int) -> None:
    assert await sent_by("websocket", *headers) == [{"type": "websocket.close", "code": 1008}]
    start, body = await sent_by("websocket", *headers, extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert body["type"] == "websocket.http.response.body"


async def test_a_kind_of_connection_without_a_rule_reaches_nothing() -> None:
    with pytest.raises(NotImplementedError):
        await sent_by("webtransport", KEY)
