"""What the gateway adds to a one-token request, one stream of them, alternated with the bare fake engine."""

from __future__ import annotations

import asyncio
import statistics
import time

import aiohttp

from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

ROUNDS = 10
REQUESTS = 300
BODY = {"model": "m", "prompt": "hello", "max_tokens": 1}


async def latencies(url: str, requests: int) -> list[float]:
    """Seconds of each of `requests` sequential requests on one connection."""
    taken = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for _ in range(requests):
            started = time.perf_counter()
            async with session.post(f"{url}/v1/completions", json=BODY, raise_for_status=True) as answer:
                await answer.read()
            taken.append(time.perf_counter() - started)
    return taken[requests // 10 :]  # without the first: connections open, caches fill


def run() -> dict[str, float]:
    pool = fake_pool(decode_step_s=0, prefill_tokens_per_s=1e9)
    bare, through = [], []
    with fake_engine(pool) as engine, gateway(fake_fleet(pool), [replica_info(engine, pool)]) as (url, _):
        for _ in range(ROUNDS):
            bare.append(statistics.median(asyncio.run(latencies(engine, REQUESTS))))
            through.append(statistics.median(asyncio.run(latencies(url, REQUESTS))))
    added = [t - b for b, t in zip(bare, through, strict=True)]
    return {
        "bare p50 ms": 1e3 * statistics.median(bare),
        "gateway p50 ms": 1e3 * statistics.median(through),
        "added p50 ms": 1e3 * statistics.median(added),
    }
