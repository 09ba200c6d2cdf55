"""100,000 requests through one gateway over fakes: every booking is given back, and its memory stays flat."""

from __future__ import annotations

import asyncio
import random
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from tests.support.cache_reporters import cache_reporter, reporting
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

REQUESTS = 100_000
AT_ONCE = 64
GROUPS = 200
TOLD_EVERY = 5_000
FLAT = 0.05
"""Growth from the middle of the run to its end that is still flat, as a share."""


async def one(session: aiohttp.ClientSession, chance: random.Random) -> None:
    """Unary or streamed, short or long, some given up in the middle."""
    group = int(chance.paretovariate(1.0)) % GROUPS
    prompt = f"group {group} " * 60 + f"question {chance.random()}"
    body: dict[str, Any] = {"model": "m", "prompt": prompt, "max_tokens": chance.choice([1, 4, 16])}
    body["stream"] = chance.random() < 0.5
    leaves = chance.random() < 0.02
    try:
        async with session.post("/v1/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            if not leaves:
                await answer.read()
    except aiohttp.ClientConnectionError:
        assert leaves


async def load(url: str, pid: int) -> dict[str, float]:
    chance = random.Random(1)
    memory: list[float] = []
    left = iter(range(REQUESTS))
    started = time.monotonic()

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            await one(session, chance)
            if number % TOLD_EVERY == 0:
                memory.append(resident_mb(pid))
                rate = number / (time.monotonic() - started)
                print(f"   {number} of {REQUESTS}, {rate:.0f}/s, gateway {memory[-1]:.0f} MB", flush=True)

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        await asyncio.gather(*[client(session) for _ in range(AT_ONCE)])
        seconds = time.monotonic() - started
        await asyncio.sleep(1)
        async with session.get("/metrics") as answer:
            metrics = await answer.text()
        async with session.get("/debug/routing?decisions=0") as answer:
            state = (await answer.json())[0]
    middle = memory[len(memory) // 2]
    growth = max(memory[-3:]) / middle - 1
    open_ones = sum(replica["open_requests"] for replica in state["replicas"])
    waiting = sum(replica["waiting_seconds"] for replica in state["replicas"])
    assert open_ones == 0
    assert waiting == 0
    assert growth < FLAT, f"the gateway grew by {growth:.1%} from the middle of the run to its end"
    predicted, actual, error = (
        total(metrics, f"gateway_{name}_total")
        for name in ("predicted_cached_tokens", "actual_cached_tokens", "cached_tokens_error")
    )
    return {
        "requests": REQUESTS,
        "requests/s": REQUESTS / seconds,
        "minutes": seconds / 60,
        "open at the end": open_ones,
        "memory MB, middle": middle,
        "memory MB, end": memory[-1],
        "growth, second half": growth,
        "predicted / found cached tokens": predicted / actual,
        "error / found": error / actual,
        "ejections": total(metrics, "gateway_ejections_total"),
    }


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def total(metrics: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(name + "{"))


def run() -> dict[str, float]:
    speeds = (200_000, 200_000, 60_000)
    pools = [
        fake_pool(f"p{n}", decode_step_s=0.002, prefill_tokens_per_s=speed, kv_blocks=2048)
        for n, speed in enumerate(speeds)
    ]
    with ExitStack() as stack:
        urls = [stack.enter_context(fake_engine(pool, caches=True)) for pool in pools]
        fleet = fake_fleet(*pools)
        announced = [
            reporting(replica_info(url, pool), stack.enter_context(cache_reporter(url, fleet)))
            for url, pool in zip(urls, pools, strict=True)
        ]
        url, pid = stack.enter_context(gateway(fleet, announced))
        return uvloop.run(load(url, pid))
