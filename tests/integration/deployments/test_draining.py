"""A gateway that stops: what is under way ends, what comes is refused, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal

import aiohttp
import pytest

from tests.support.front import Engine, Front, front, until
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

LONG = 500
"""Tokens of an answer of about a second."""


async def begun(door: Front, tokens: int = LONG) -> asyncio.Task[bytes]:
    """A stream that has its replica."""
    stream = asyncio.create_task(door.stream(max_tokens=tokens))
    await until(lambda: any(door.booked()))
    return stream


async def test_what_is_under_way_ends_and_the_new_is_refused(engines: tuple[Engine, Engine]) -> None:
    engine = engines[0]
    async with front(fake_fleet(engine.pool), [engine.announced()]) as door:
        stream = await begun(door)
        draining = asyncio.create_task(door.server.drain())
        await asyncio.sleep(0.05)
        status, answer, response = await door.ask()
        assert (status, answer["error"]["code"]) == (503, "draining")
        assert (response.headers["Retry-After"], response.headers["Connection"]) == ("1", "close")
        async with door.session.get("/ready") as ready:
            assert (ready.status, await ready.json()) == (503, {"waiting_for": ["drain"]})
        assert not draining.done()
        assert (await stream).endswith(b"data: [DONE]\n\n")
        assert await draining


async def test_one_that_waits_for_a_replica_is_under_way_too(engines: tuple[Engine, Engine]) -> None:
    async with front(fake_fleet(engines[0].pool), []) as door:
        asking = asyncio.create_task(door.ask())
        await until(lambda: any(door.booked()))
        draining = asyncio.create_task(door.server.drain())
        await asyncio.sleep(0.05)
        door.server.update([engines[0].announced()])
        assert (await asking)[0] == 200
        assert await draining


async def test_an_idle_gateway_is_done_at_once(two: Front) -> None:
    await two.ask()
    async with asyncio.timeout(0.5):
        assert await two.server.drain()


async def test_what_takes_too_long_is_cut_off(engines: tuple[Engine, Engine]) -> None:
    engine = engines[0]
    async with front(fake_fleet(engine.pool, drain_timeout_s=0.1), [engine.announced()]) as door:
        stream = await begun(door, 60 * LONG)
        async with asyncio.timeout(2):
            assert not await door.server.drain()
        await door.server.stop()
        with pytest.raises(aiohttp.ClientError):
            await stream


async def test_sigterm_is_an_orderly_end() -> None:
    pool = fake_pool(decode_step_s=0.002)
    with fake_engine(pool) as url, gateway(fake_fleet(pool), [replica_info(url, pool)]) as (address, pid):
        async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(total=30)) as session:
            body = {"model": "m", "prompt": "hello", "max_tokens": LONG, "stream": True}
            async with session.post("/v1/completions", json=body) as answer:
                assert answer.status == 200
                os.kill(pid, signal.SIGTERM)
                frames = await answer.read()
    assert frames.endswith(b"data: [DONE]\n\n")
