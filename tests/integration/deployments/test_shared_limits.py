"""A tenant's limits over several gateway processes: one limit, whichever of them a connection has reached."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from cluster.fleet import Limits, Tenant
from cluster.keys import digest, new_key
from tests.support.front import Engine
from tests.support.processes import fake_engine, fake_pool
from tests.support.standalone_gateway import BODY, StandaloneGateway, fleet_of, standalone_gateway

PROCESSES = 3
A_MINUTE = 120
KEY = new_key()
AT_ONCE = 10
"""Requests on connections of their own before all processes have heard of them."""
LOOKS = 12
"""Connections on which each process is met at least once, but for one time in a hundred."""


async def granted(gateway: StandaloneGateway, requests: int, keep: bool) -> int:
    """How many of these requests are not refused, one after the other, on one connection or on one each."""
    connector = aiohttp.TCPConnector(force_close=not keep)
    count = 0
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:
        for _ in range(requests):
            async with session.post(f"{gateway.url}/v1/completions", json=BODY) as answer:
                assert answer.status in (200, 429), await answer.text()
                count += answer.status == 200
                await answer.read()
    return count


async def all_have_heard(gateway: StandaloneGateway, taken: int, started: float) -> None:
    """Returns once no process believes that more is left than is."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with asyncio.timeout(30):
        looks = 0
        while looks < LOOKS:
            connector = aiohttp.TCPConnector(force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as session,
                session.get(f"{gateway.url}/v1/models") as answer,
            ):
                left = int(answer.headers["x-ratelimit-remaining-requests"])
            looks = looks + 1 if left <= max(0.0, allowed(started) - taken) + 1 else 0
            await asyncio.sleep(0 if looks else 0.05)


def allowed(started: float) -> float:
    """Requests since then: a minute's at once, and what has come back since."""
    return A_MINUTE * (1 + (time.monotonic() - started) / 60)


async def test_a_limit_holds_for_all_processes_and_is_not_divided_among_them(tmp_path: Path) -> None:
    pool = fake_pool("a", decode_step_s=0.0001)
    tenant = Tenant(name="t", key_sha256=[digest(KEY)], limits=Limits(requests_per_minute=A_MINUTE))
    with fake_engine(pool, keyless=True) as url:
        fleet = fleet_of(Engine(url, pool), processes=PROCESSES).model_copy(update={"tenants": [tenant]})
        with standalone_gateway(fleet, [f"a={url}"], tmp_path) as gateway:
            started = time.monotonic()
            taken = await granted(gateway, A_MINUTE // 2, keep=True)
            assert taken == A_MINUTE // 2, "more than a third, which one process of three had for itself"
            more = AT_ONCE
            while more == AT_ONCE:
                await all_have_heard(gateway, taken, started)
                more = await granted(gateway, AT_ONCE, keep=False)
                taken += more
            most = allowed(started)
    assert 0.98 * most - AT_ONCE <= taken <= 1.02 * most + AT_ONCE
