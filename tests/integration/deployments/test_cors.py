"""Web pages of other origins read answers only where the fleet file names their origin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from cluster.fleet import Cors, Tenant
from cluster.keys import digest, new_key
from tests.support.front import Engine, Front, front
from tests.support.processes import fake_fleet

PAGE, OTHER = "https://chat.example.com", "https://evil.example.com"
KEY = new_key()
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def door(engines: tuple[Engine, Engine]) -> AsyncIterator[Front]:
    """A fleet with a tenant, whose answers pages of one origin may read."""
    engine = engines[0]
    fleet = fake_fleet(engine.pool, cors=Cors(allowed_origins=[PAGE, "http://localhost:3000"]))
    fleet = fleet.model_copy(update={"tenants": [Tenant(name="t", key_sha256=[digest(KEY)])]})
    async with front(fleet, [engine.announced()]) as made:
        yield made


def cors_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("access-control")}


@pytest.mark.parametrize("path", [CHAT, "/metrics", "/nothing/here", "/v1/models/a%0Ab"])
async def test_a_preflight_is_answered_without_a_key_and_tells_nothing_of_the_path(door: Front, path: str) -> None:
    async with door.session.options(path, headers={"Origin": PAGE, **PREFLIGHT}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert cors_headers(answer.headers) == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-methods": "GET, HEAD, POST",
            "access-control-allow-headers": "authorization, content-type",
            "access-control-max-age": "600",
        }
        assert answer.headers.getall("Vary") == ["Origin"]


@pytest.mark.parametrize("origin", [OTHER, "null", f"{PAGE}.evil.example.com", PAGE.upper(), f"{PAGE}:443", ""])
async def test_pages_of_other_origins_get_no_permission(door: Front, origin: str) -> None:
    async with door.session.options(CHAT, headers={"Origin": origin, **PREFLIGHT}) as answer:
        assert answer.status == 405
        assert not cors_headers(answer.headers)
        assert answer.headers.getall("Vary") == ["Origin"]
    async with door.session.get("/health", headers={"Origin": origin}) as answer:
        assert answer.status == 200
        assert not cors_headers(answer.headers)


async def test_answers_errors_and_streams_may_be_read(door: Front) -> None:
    body = {"model": "m", "prompt": "hello", "max_tokens": 4}
    key = {"Authorization": f"Bearer {KEY}"}
    for changes, headers, status in (
        ({}, key, 200),
        ({"stream": True}, key, 200),
        ({"model": "none"}, key, 404),
        ({}, {}, 401),
    ):
        async with door.session.post(
            "/v1/completions", json={**body, **changes}, headers={"Origin": PAGE, **headers}
        ) as answer:
            assert answer.status == status
            await answer.read()
            allowed = cors_headers(answer.headers)
            assert allowed["access-control-allow-origin"] == PAGE
            assert "x-request-id" in allowed["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in allowed
            assert answer.headers.getall("Vary") == ["Origin"]


async def test_other_variation_of_an_answer_is_told_beside_it(door: Front) -> None:
    headers = {"Origin": PAGE, "Authorization": f"Bearer {KEY}"}
    async with door.session.get("/openapi.json", headers=headers) as answer:
        assert set(answer.headers.getall("Vary")) == {"Authorization", "Origin"}


async def test_an_options_request_that_is_no_preflight_is_refused_as_before(door: Front) -> None:
    async with door.session.options(CHAT, headers={"Origin": PAGE}) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
    async with door.session.options("/nothing", headers=PREFLIGHT) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("wanted", ["a b", "x" * 3000, "authorization\xe9", ", ,", ""])
async def test_header_names_that_are_none_are_not_repeated(door: Front, wanted: str) -> None:
    headers = {"Origin": PAGE, **PREFLIGHT, "Access-Control-Request-Headers": wanted}
    async with door.session.options(CHAT, headers=headers) as answer:
        assert answer.status == 204
        assert "Access-Control-Allow-Headers" not in answer.headers


async def test_all_origins_named_headers_and_credentials(engines: tuple[Engine, Engine]) -> None:
    everyone = Cors(allowed_origins=["*"], allowed_headers=["Authorization", "Content-Type"], max_age_s=5)
    async with (
        front(fake_fleet(engines[0].pool, cors=everyone), []) as door,
        door.session.options(CHAT, headers={"Origin": OTHER, **PREFLIGHT}) as answer,
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
        assert answer.headers["Access-Control-Max-Age"] == "5"
        assert "Vary" not in answer.headers
    named = Cors(allowed_origins=[PAGE], allow_credentials=True)
    async with (
        front(fake_fleet(engines[0].pool, cors=named), []) as door,
        door.session.get("/health", headers={"Origin": PAGE}) as answer,
    ):
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


async def test_without_cors_in_the_fleet_file_no_answer_speaks_of_it(two: Front) -> None:
    async with two.session.options(CHAT, headers={"Origin": PAGE, **PREFLIGHT}) as answer:
        assert answer.status == 405
        assert not cors_headers(answer.headers)
        assert "Vary" not in answer.headers
