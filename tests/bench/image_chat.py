"""Chats about four pictures under one text: where each picture's requests meet, and what they cost those without."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import aiohttp
import numpy as np
from PIL import Image

from cluster.fleet import Task
from tests.support.cache_reporters import cache_reporter, reporting
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

REPLICAS = 4
PICTURES = 4
REQUESTS = 200
ROUNDS = 5
TEXT_REQUESTS = 400
PICTURE_EVERY_S = 0.02
SIDE = 720
JSON = {"Content-Type": "application/json"}


def picture(seed: int) -> str:
    noise = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def about(url: str) -> bytes:
    """Encoded ahead, so that the client, which times the requests without pictures, does not work on those with."""
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is in this picture?"}]
    return chat(parts)


def chat(content: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": content}]}).encode()


async def ask(session: aiohttp.ClientSession, body: bytes) -> tuple[float, str, int]:
    """Seconds, replica and cached tokens."""
    started = time.perf_counter()
    async with session.post("/v1/chat/completions", data=body, headers=JSON) as answer:
        usage = (await answer.json())["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return time.perf_counter() - started, answer.headers["x-replica"], cached


async def text_requests(session: aiohttp.ClientSession, chance: random.Random) -> list[float]:
    """Seconds of text-only requests, paced."""
    taken = []
    for _ in range(TEXT_REQUESTS):
        taken.append((await ask(session, chat(f"{chance.random()} " + "word " * 100)))[0])
    return taken


async def meetings(session: aiohttp.ClientSession, bodies: list[bytes], chance: random.Random) -> dict[str, float]:
    """Share of each picture's requests that one replica got, and of those that found it in the cache."""
    homes: dict[bytes, Counter[str]] = {body: Counter() for body in bodies}
    found = 0
    for _ in range(REQUESTS):
        body = chance.choice(bodies)
        _, replica, cached = await ask(session, body)
        homes[body][replica] += 1
        found += cached > 100
    share = [max(counts.values()) / sum(counts.values()) for counts in homes.values()]
    return {"least share at one replica": min(share), "found in its cache": found / REQUESTS}


async def both_ways(url: str) -> dict[str, float]:
    chance = random.Random(1)
    bodies = [about(picture(seed)) for seed in range(PICTURES)]
    alone, beside = [], []
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=60)) as session:
        figures = await meetings(session, bodies, chance)
        for _ in range(ROUNDS):
            alone.append(p99(await text_requests(session, chance)))
            pictures = asyncio.create_task(picture_load(session, bodies, chance))
            beside.append(p99(await text_requests(session, chance)))
            pictures.cancel()
            await asyncio.gather(pictures, return_exceptions=True)
    ratios = sorted(b / a for a, b in zip(alone, beside, strict=True))
    return figures | {
        "text p99 ms alone": 1e3 * sorted(alone)[ROUNDS // 2],
        "text p99 ms beside pictures": 1e3 * sorted(beside)[ROUNDS // 2],
        "ratio, median of pairs": ratios[ROUNDS // 2],
    }


async def picture_load(session: aiohttp.ClientSession, bodies: list[bytes], chance: random.Random) -> None:
    while True:
        await ask(session, chance.choice(bodies))
        await asyncio.sleep(PICTURE_EVERY_S)


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def run() -> dict[str, float]:
    pools = [fake_pool(f"p{n}", decode_step_s=0.005) for n in range(REPLICAS)]
    with ExitStack() as stack:
        urls = [stack.enter_context(fake_engine(pool, Task.VISION_CHAT, caches=True)) for pool in pools]
        fleet = fake_fleet(*pools, task=Task.VISION_CHAT)
        announced = [
            reporting(replica_info(url, pool, task=Task.VISION_CHAT), stack.enter_context(cache_reporter(url, fleet)))
            for url, pool in zip(urls, pools, strict=True)
        ]
        url, _ = stack.enter_context(gateway(fleet, announced))
        return asyncio.run(both_ways(url))
