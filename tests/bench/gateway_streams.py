"""300 paced streams of 20 tokens/s through one gateway process: time per token, and CPU per chunk.

TPOT is a stream's mean time per output token after the first; a gap is the time between two tokens at the client.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

import aiohttp
import uvloop

from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

STREAMS = 300
TOKENS = 200
STEP_S = 0.05
ROUNDS = 3


async def stream(session: aiohttp.ClientSession, url: str) -> list[float]:
    """Gaps between the tokens of one stream in seconds."""
    gaps: list[float] = []
    last = 0.0
    body = {"model": "m", "prompt": os.urandom(8).hex(), "max_tokens": TOKENS, "stream": True}
    async with session.post(f"{url}/v1/completions", json=body, raise_for_status=True) as answer:
        async for chunk in answer.content.iter_any():
            now = time.perf_counter()
            frames = chunk.count(b"\n\n")
            if last and frames:
                gaps += [(now - last) / frames] * frames
            last = now
    return gaps


async def round_of_streams(url: str) -> list[list[float]]:
    """The gaps of each of the streams."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        return await asyncio.gather(*[stream(session, url) for _ in range(STREAMS)])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def figures(name: str, streams: list[list[float]]) -> dict[str, float]:
    gaps = [gap for stream in streams for gap in stream]
    tpots = [statistics.mean(stream) for stream in streams]
    return {
        f"{name}, TPOT p50 ms": 1e3 * percentile(tpots, 0.5),
        f"{name}, TPOT p99 ms": 1e3 * percentile(tpots, 0.99),
        f"{name}, gap p99 ms": 1e3 * percentile(gaps, 0.99),
    }


def run() -> dict[str, float]:
    pool = fake_pool(slots=STREAMS, decode_step_s=STEP_S, prefill_tokens_per_s=1e9)
    bare: list[list[float]] = []
    through: list[list[float]] = []
    cpu = 0.0
    with fake_engine(pool) as engine, gateway(fake_fleet(pool), [replica_info(engine, pool)]) as (url, pid):
        for _ in range(ROUNDS):
            bare += uvloop.run(round_of_streams(engine))
            before = cpu_seconds(pid)
            through += uvloop.run(round_of_streams(url))
            cpu += cpu_seconds(pid) - before
    return {
        **figures("bare", bare),
        **figures("gateway", through),
        "gateway CPU us per chunk": 1e6 * cpu / (ROUNDS * STREAMS * TOKENS),
        "gateway share of a core": cpu / (ROUNDS * TOKENS * STEP_S),
    }
