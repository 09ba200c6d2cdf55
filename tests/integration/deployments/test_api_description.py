"""Who may read the description of the API, and that it follows who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.fleet import Fleet, Gateway, Model, Operator, Task, Tenant
from cluster.keys import digest, new_key
from deployments.gateway.api import ROUTES
from tests.support.front import Front, front
from tests.support.processes import fake_pool

CHATTER, SPEAKER, OPERATOR = new_key(), new_key(), new_key()
FLEET = Fleet(
    name="people",
    gateway=Gateway(port=0),
    models=[
        Model(name="m", task=Task.CHAT, checkpoint="virtual", pools=[fake_pool()]),
        Model(name="s", task=Task.TRANSCRIPTION, checkpoint="virtual", pools=[fake_pool()]),
    ],
    tenants=[
        Tenant(name="chatter", key_sha256=[digest(CHATTER)], models=["m"]),
        Tenant(name="speaker", key_sha256=[digest(SPEAKER)], models=["s"]),
    ],
    operators=[Operator(name="us", key_sha256=[digest(OPERATOR)])],
)


@pytest.fixture
async def door() -> AsyncIterator[Front]:
    async with front(FLEET, []) as made:
        yield made


async def paths(door: Front, key: str) -> set[str]:
    async with door.session.get("/openapi.json", headers={"Authorization": f"Bearer {key}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Vary"] == "Authorization"
        document: dict[str, Any] = await answer.json()
        return set(document["paths"])


async def test_each_asker_reads_of_what_it_may_use(door: Front) -> None:
    chatter, speaker, operator = [await paths(door, key) for key in (CHATTER, SPEAKER, OPERATOR)]
    assert operator - chatter == {"/v1/audio/transcriptions", "/v1/audio/translations", "/metrics", "/debug/routing"}
    assert "/v1/audio/transcriptions" in speaker
    assert "/v1/chat/completions" not in speaker


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}])
async def test_nobody_reads_it_without_a_key(door: Front, headers: dict[str, str]) -> None:
    async with door.session.get("/openapi.json", headers=headers) as answer:
        assert answer.status == 401
        assert "paths" not in await answer.text()


async def test_everybody_reads_it_where_no_key_is_asked_for() -> None:
    fleet = FLEET.model_copy(update={"tenants": [], "operators": []})
    async with front(fleet, []) as door, door.session.get("/openapi.json") as answer:
        assert answer.status == 200
        assert len((await answer.json())["paths"]) == len({route.path for route in ROUTES})


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_a_client_that_has_it_is_not_sent_it_again(door: Front, path: str) -> None:
    key = {"Authorization": f"Bearer {CHATTER}"}
    async with door.session.get(path, headers=key) as answer:
        tag, body = answer.headers["ETag"], await answer.read()
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        async with door.session.get(path, headers={**key, "If-None-Match": known}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            assert answer.headers["ETag"] == tag
    async with door.session.get(path, headers={**key, "If-None-Match": '"other"'}) as answer:
        assert (answer.status, await answer.read()) == (200, body)
    async with door.session.head(path, headers=key) as answer:
        assert answer.status == 200
        assert answer.headers["ETag"] == tag


async def test_the_page_is_open_and_holds_nothing_of_the_fleet(door: Front) -> None:
    async with door.session.get("/docs") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert FLEET.name not in await answer.text()


async def test_a_line_feed_in_a_path_is_as_unknown_as_any_other(door: Front) -> None:
    key = {"Authorization": f"Bearer {CHATTER}"}
    for path in ("/v1/models/a%0Ab", "/a%0Ab"):
        async with door.session.get(path, headers=key) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["type"] == "invalid_request_error"
