"""300 paced streams of 20 tokens/s through one gateway process: time per token, and CPU per chunk."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp
import uvloop

from tests.support.processes import announcement, fake_engine, fake_fleet, fake_pool, gateway

STREAMS = 300
TOKENS = 200
STEP_S = 0.05
ROUNDS = 3


async def stream(session: aiohttp.ClientSession, url: str) -> tuple[list[float], int]:
    """Gaps between the tokens of one stream in seconds, and the chunks it came in."""
    gaps, last, chunks = [], 0.0, 0
    body = {"model": "m", "prompt": os.urandom(8).hex(), "max_tokens": TOKENS, "stream": True}
    async with session.post(f"{url}/v1/completions", json=body, raise_for_status=True) as answer:
        async for chunk in answer.content.iter_any():
            now = time.perf_counter()
            frames = chunk.count(b"\n\n")
            chunks += 1
            if last:
                gaps += [(now - last) / frames] * frames
            last = now
    return gaps, chunks


async def round_of_streams(url: str) -> tuple[list[float], int]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        ended = await asyncio.gather(*[stream(session, url) for _ in range(STREAMS)])
    return [gap for gaps, _ in ended for gap in gaps], sum(chunks for _, chunks in ended)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def run() -> dict[str, float]:
    pool = fake_pool(slots=STREAMS, decode_step_s=STEP_S, prefill_tokens_per_s=1e9)
    bare: list[float] = []
    through: list[float] = []
    cpu, frames = 0.0, 0
    with fake_engine(pool) as engine, gateway(fake_fleet(pool), [announcement(engine, pool)]) as (url, pid):
        for _ in range(ROUNDS):
            bare += uvloop.run(round_of_streams(engine))[0]
            before = cpu_seconds(pid)
            gaps, _ = uvloop.run(round_of_streams(url))
            cpu += cpu_seconds(pid) - before
            through += gaps
            frames += STREAMS * TOKENS
    return {
        "bare p50 ms per token": 1e3 * percentile(bare, 0.5),
        "bare p99 ms per token": 1e3 * percentile(bare, 0.99),
        "gateway p50 ms per token": 1e3 * percentile(through, 0.5),
        "gateway p99 ms per token": 1e3 * percentile(through, 0.99),
        "gateway CPU us per chunk": 1e6 * cpu / frames,
        "gateway share of a core": cpu / (ROUNDS * TOKENS * STEP_S),
    }
