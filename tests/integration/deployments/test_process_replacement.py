"""Gateway processes that are killed or frozen, by signals to real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.gateway.process import LEARNED_EVERY, STATUS_PERIOD_S
from deployments.gateway.supervision.process_handle import SILENT_S
from deployments.gateway.supervision.standby import FRESH_S, PAUSE_S
from tests.support.front import Engine
from tests.support.process_table import gone
from tests.support.processes import fake_engine, fake_pool
from tests.support.sockets import accepted_by
from tests.support.standalone_gateway import (
    BODY,
    StandaloneGateway,
    fleet_of,
    fresh,
    standalone_gateway,
    until_replaced,
)

TOKENS = 1500


@pytest.fixture(scope="module")
def server() -> Iterator[Engine]:
    pool = fake_pool("a", decode_step_s=0.002)
    with fake_engine(pool, keyless=True) as url:
        yield Engine(url, pool)


@pytest.fixture
def only(server: Engine, tmp_path: Path) -> Iterator[StandaloneGateway]:
    """A gateway of one process."""
    with standalone_gateway(fleet_of(server), [f"a={server.url}"], tmp_path) as gateway:
        yield gateway


@pytest.fixture
def pair(server: Engine, tmp_path: Path) -> Iterator[StandaloneGateway]:
    """A gateway of two processes."""
    with standalone_gateway(fleet_of(server, processes=2), [f"a={server.url}"], tmp_path) as gateway:
        yield gateway


async def asking(gateway: StandaloneGateway, until: asyncio.Task[float]) -> list[int]:
    """The statuses of requests on new connections, four at a time, until that task is done and once more."""
    statuses: list[int] = []
    while True:
        last = until.done()
        statuses += await asyncio.gather(*[fresh(gateway) for _ in range(4)])
        if last:
            return statuses


async def test_killed_process_is_replaced_by_the_one_in_reserve_and_no_connection_is_refused(
    only: StandaloneGateway,
) -> None:
    reserve, (victim,) = await asyncio.to_thread(only.reserve_pid), only.serving_pids()
    os.kill(victim, signal.SIGKILL)
    replaced = asyncio.create_task(asyncio.to_thread(until_replaced, only, victim, 60))
    assert set(await asking(only, replaced)) == {200}
    assert only.serving_pids() == [reserve]
    cold, warm = only.start_seconds()
    print(
        f"replaced {replaced.result():.2f} s after SIGKILL; start from nothing {cold:.2f} s, from reserve {warm:.3f} s"
    )
    assert warm < cold, "what takes long is done before it is needed"
    assert await asyncio.to_thread(only.reserve_pid) != reserve


async def observations(gateway: StandaloneGateway) -> float:
    """From which the speed of the one replica is known."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    return sum(sample.value for sample in families["gateway_replica_speed_observations"].samples)


async def test_successor_knows_the_speeds_that_the_killed_process_had_learned(only: StandaloneGateway) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(20):
            body = {**BODY, "prompt": f"{number} " * 500, "stream": True}
            async with session.post(f"{only.url}/v1/completions", json=body) as answer:
                await answer.read()
    learned, (victim,) = await observations(only), only.serving_pids()
    assert learned > 0
    await asyncio.sleep(2 * LEARNED_EVERY * STATUS_PERIOD_S)
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(until_replaced, only, victim, 60)
    assert await fresh(only) == 200
    assert await observations(only) >= learned


async def test_one_of_two_that_is_killed_is_replaced_and_no_connection_is_refused(pair: StandaloneGateway) -> None:
    victim, other = pair.serving_pids()
    os.kill(victim, signal.SIGKILL)
    replaced = asyncio.create_task(asyncio.to_thread(until_replaced, pair, victim, 60))
    assert set(await asking(pair, replaced)) == {200}
    assert other in pair.serving_pids()


async def test_frozen_reserve_is_not_given_connections(only: StandaloneGateway) -> None:
    reserve, (victim,) = await asyncio.to_thread(only.reserve_pid), only.serving_pids()
    os.kill(reserve, signal.SIGSTOP)
    await asyncio.sleep(FRESH_S + 1)
    os.kill(victim, signal.SIGKILL)
    replaced = asyncio.create_task(asyncio.to_thread(until_replaced, only, victim, 60))
    assert set(await asking(only, replaced)) == {200}
    assert only.serving_pids() != [reserve]
    assert await asyncio.to_thread(gone, [reserve], 20)


async def test_reserve_that_ends_by_itself_is_not_started_again_at_once(only: StandaloneGateway) -> None:
    reserve = await asyncio.to_thread(only.reserve_pid)
    os.kill(reserve, signal.SIGKILL)
    assert await asyncio.to_thread(gone, [reserve], 20)
    await asyncio.sleep(PAUSE_S / 4)
    assert only.child_pids() == only.serving_pids()
    assert await fresh(only) == 200


async def test_process_that_is_frozen_for_a_while_loses_nothing_and_strands_no_new_connection(
    pair: StandaloneGateway,
) -> None:
    pids, body = pair.serving_pids(), {**BODY, "max_tokens": TOKENS, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{pair.url}/v1/completions", json=body) as answer,
    ):
        assert answer.connection is not None
        assert answer.connection.transport is not None
        _, port = answer.connection.transport.get_extra_info("sockname")
        frozen = accepted_by(pids, pair.port, port)
        os.kill(frozen, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            for _ in range(10):
                assert await asyncio.gather(*[fresh(pair) for _ in range(4)]) == [200] * 4
            answered = time.monotonic() - stopped
            await asyncio.sleep(SILENT_S / 2 - answered)
        finally:
            os.kill(frozen, signal.SIGCONT)
        content = await answer.read()
    print(f"40 new connections answered in {answered:.2f} s beside a frozen process")
    assert content.count(b"data: ") == TOKENS + 1
    assert content.endswith(b"data: [DONE]\n\n")
    assert pair.serving_pids() == pids


@pytest.mark.slow
async def test_process_that_is_frozen_for_good_is_replaced_and_ended(only: StandaloneGateway) -> None:
    (frozen,) = only.serving_pids()
    os.kill(frozen, signal.SIGSTOP)
    waiting = [asyncio.create_task(fresh(only)) for _ in range(8)]
    seconds = await asyncio.to_thread(until_replaced, only, frozen, 60)
    assert await asyncio.gather(*waiting) == [200] * 8, "they waited in the backlog"
    assert await asyncio.to_thread(gone, [frozen], 20), "it would serve on after SIGCONT"
    print(f"replaced {seconds:.2f} s after SIGSTOP")
    assert seconds > SILENT_S - 1


@pytest.mark.slow
async def test_processes_serve_on_beside_a_supervisor_that_was_frozen(pair: StandaloneGateway) -> None:
    pids = pair.serving_pids()
    os.kill(pair.process.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(SILENT_S + 1)
        assert await fresh(pair) == 200
    finally:
        os.kill(pair.process.pid, signal.SIGCONT)
    await asyncio.sleep(1)
    assert await fresh(pair) == 200
    assert pair.serving_pids() == pids
