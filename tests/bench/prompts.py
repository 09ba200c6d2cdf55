"""What the router's prompts cost the gateway: time to tokenise a chat, and how long the event loop stands still."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cluster.checkpoints import resolve
from deployments.gateway.preparation.prompts import Prompts
from tests.support.prompts import prepare

CHAT = "/v1/chat/completions"
REPEATS = 30
CHARACTERS = {"0.3k": 1_500, "1k": 5_000, "8k": 44_000, "64k": 352_000}
"""About how many GPT-OSS tokens -> characters of English-like text."""

WORDS = (
    "the",
    "a",
    "router",
    "price",
    "seconds",
    "replica",
    "naive",
    "cafe",
    "12",
    "345",
    "of,",
    "token",
    "(cache)",
    "in's",
)


def run() -> dict[str, float]:
    return asyncio.run(_run())


async def _run() -> dict[str, float]:
    figures: dict[str, float] = {}
    for renderer, name in (("harmony", "tiny-gpt-oss-sums"), ("template", "tiny-qwen3vl-digits")):
        checkpoint = str(resolve(name).path)
        prompts = Prompts()
        started = time.perf_counter()
        if reason := await prompts.load(renderer, checkpoint):
            raise RuntimeError(reason)
        figures[f"{renderer}: load, s"] = time.perf_counter() - started
        try:
            for size, characters in CHARACTERS.items():
                bodies = [_chat(characters, seed) for seed in range(REPEATS)]
                took, still = await _measure(partial(_prepare, prompts, renderer, checkpoint), bodies)
                figures[f"{renderer} {size}: median, ms"] = sorted(took)[len(took) // 2] * 1e3
                figures[f"{renderer} {size}: loop still, p99 ms"] = sorted(still)[int(len(still) * 0.99)] * 1e3
                figures[f"{renderer} {size}: loop still, max ms"] = max(still) * 1e3
        finally:
            prompts.close()
    return figures


def _chat(characters: int, seed: int) -> bytes:
    """A chat with most of its text in a system turn, as agents send it."""
    chance = random.Random(seed)
    text = " ".join(chance.choice(WORDS) for _ in range(characters // 5))[:characters]
    cut = characters * 2 // 3
    turns = [{"role": "system", "content": text[:cut]}, {"role": "user", "content": text[cut:]}]
    return json.dumps({"model": "m", "messages": turns}).encode()


async def _prepare(prompts: Prompts, renderer: str, checkpoint: str, raw: bytes) -> None:
    body: dict[str, Any] = json.loads(raw)
    prepared = prepare(prompts, CHAT, body, raw, renderer, checkpoint, "")
    if prepared.prompt is None:
        raise RuntimeError(prepared.reason)


async def _measure(job: Callable[[bytes], Any], bodies: list[bytes]) -> tuple[list[float], list[float]]:
    """Seconds of each job, and for how long a task that wants to run each millisecond had to wait meanwhile."""
    still: list[float] = []

    async def tick() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            still.append(time.perf_counter() - asked - 0.001)

    ticking = asyncio.create_task(tick())
    took: list[float] = []
    for body in bodies:
        started = time.perf_counter()
        await job(body)
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    ticking.cancel()
    return took, still


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:36} {value:10.3f}")
