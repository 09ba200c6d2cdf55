"""Operators and tenants are different people: who sees metrics, router states and addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cluster.fleet import Fleet, Model, Operator, Task, Tenant
from cluster.keys import digest, new_key
from tests.support.front import Engine, Front, front
from tests.support.processes import fake_fleet, fake_pool

OURS, THEIRS, OPERATOR = new_key(), new_key(), new_key()
OPERATORS_ROUTES = ["/metrics", "/debug/routing"]
BODY = {"model": "m", "prompt": "hello", "max_tokens": 4}


def with_people(fleet: Fleet) -> Fleet:
    """Two tenants, of which the second may use only a model that has no replica, and an operator."""
    other = Model(name="other", task=Task.CHAT, checkpoint="c", pools=[fake_pool()])
    tenants = [
        Tenant(name="ours", key_sha256=[digest(OURS)]),
        Tenant(name="theirs", key_sha256=[digest(THEIRS)], models=["other"]),
    ]
    operators = [Operator(name="us", key_sha256=[digest(OPERATOR)])]
    changes = {"models": [*fleet.models, other], "tenants": tenants, "operators": operators}
    return fleet.model_copy(update=changes)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def door(engines: tuple[Engine, Engine]) -> AsyncIterator[Front]:
    async with front(with_people(fake_fleet(engines[0].pool)), [engines[0].announced()]) as made:
        yield made


@pytest.mark.parametrize("path", OPERATORS_ROUTES)
async def test_tenants_are_refused_on_operators_routes(door: Front, path: str) -> None:
    for key, status in ((OURS, 401), (THEIRS, 401), (OPERATOR, 200)):
        async with door.session.get(path, headers=bearer(key)) as answer:
            assert answer.status == status
    fleet = door.server.fleet.model_copy(update={"operators": []})
    async with front(fleet, []) as without, without.session.get(path, headers=bearer(OURS)) as answer:
        assert answer.status == 403
        assert "`operators`" in (await answer.json())["error"]["message"]


async def test_only_operators_see_addresses_inside_the_fleet(engines: tuple[Engine, Engine]) -> None:
    replica = engines[0].announced(
        incarnation=engines[0].url,
        checkpoint="/models/m",
        cache_reports="tcp://10.0.0.1:1#00",
        cache_snapshots="tcp://10.0.0.1:2#00",
    )
    async with front(with_people(fake_fleet(engines[0].pool)), [replica]) as gateway:
        async with gateway.session.get("/fleet", headers=bearer(OURS)) as answer:
            tenants_view = await answer.text()
        async with gateway.session.get("/fleet", headers=bearer(THEIRS)) as answer:
            assert [model["name"] for model in (await answer.json())["models"]] == ["other"]
        async with gateway.session.get("/fleet", headers=bearer(OPERATOR)) as answer:
            operators_view = await answer.text()
    for address in (replica.url, "10.0.0.1", "/models/m"):
        assert address not in tenants_view
        assert address in operators_view
    assert replica.replica in tenants_view


async def test_operators_key_is_no_tenants_key(door: Front) -> None:
    async with door.session.post("/v1/completions", json=BODY, headers=bearer(OPERATOR)) as answer:
        assert answer.status == 401


async def test_fleet_with_neither_tenants_nor_operators_is_open(two: Front) -> None:
    for path in (*OPERATORS_ROUTES, "/fleet", "/v1/models"):
        async with two.session.get(path) as answer:
            assert answer.status == 200
