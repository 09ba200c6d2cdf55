"""A tenant's limits over several gateway processes: one limit, whichever of them a connection has reached."""

from __future__ import annotations

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
TELLING_S = 0.05
"""Between two words of gateways to each other."""


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


async def test_a_limit_holds_for_all_processes_and_is_not_divided_among_them(tmp_path: Path) -> None:
    pool = fake_pool("a", decode_step_s=0.0001)
    tenant = Tenant(name="t", key_sha256=[digest(KEY)], limits=Limits(requests_per_minute=A_MINUTE))
    with fake_engine(pool, keyless=True) as url:
        fleet = fleet_of(Engine(url, pool), processes=PROCESSES).model_copy(update={"tenants": [tenant]})
        with standalone_gateway(fleet, [f"a={url}"], tmp_path) as gateway:
            started = time.monotonic()
            on_one_connection = await granted(gateway, A_MINUTE // 2, keep=True)
            on_their_own = await granted(gateway, 4 * A_MINUTE, keep=False)
            passed_s = time.monotonic() - started
    assert on_one_connection == A_MINUTE // 2, "more than a third, which one process of three had for itself"
    allowed = A_MINUTE * (1 + passed_s / 60)
    unheard = PROCESSES + 2 * TELLING_S * 4.5 * A_MINUTE / passed_s
    print(f"{on_one_connection + on_their_own} of {allowed:.1f} allowed; {unheard:.1f} may pass unheard")
    assert 0.98 * allowed - 1 <= on_one_connection + on_their_own <= 1.02 * allowed + unheard
