"""One, two and four gateway processes before the same replicas: cache hits, and CPU of all processes for a request.

Chats of groups that share a system prompt, on connections of their own, so that the kernel spreads them over the
processes. Each replica's cache has room for its share of the groups and little more: a process that did not know what
the others send where would push groups out.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase

import aiohttp
import psutil

from cluster.fleet import Fleet
from tests.support.gateway_pids import serving_on_ray
from tests.support.own_ray import serving_on_own_ray
from tests.support.processes import fake_fleet, fake_pool

PROCESSES = (1, 2, 4)
ROUNDS = 3
REPLICAS, GROUPS = 4, 24
SYSTEM_TOKENS, QUESTION_TOKENS = 1_024, 64
BLOCK_TOKENS = 16
ROOM = 1.5
"""What a replica's cache holds, in its share of the groups' system prompts."""
CLIENTS, REQUESTS = 12, 600
PAUSE_S = 0.05
"""Of a client between two requests: the processes are never at their limit."""


@dataclass
class Served:
    """What one round of requests found."""

    hits: float
    """Share of the prompts' tokens that engines found in their caches."""
    seconds: float
    """Of half the requests, at most."""
    cpu_s: float
    """Of all gateway processes, for a request."""


def run() -> dict[str, float]:
    rounds: dict[int, list[Served]] = {}
    for number in range(ROUNDS):
        for processes in PROCESSES:
            with serving_on_own_ray(_fleet(processes), "gateway-processes") as url:
                rounds.setdefault(processes, []).append(asyncio.run(_round(url, number)))
    figures: dict[str, float] = {}
    for processes, seen in rounds.items():
        named = f"{processes} process{'es' * (processes > 1)}"
        figures[f"{named}: share of tokens found in caches"] = statistics.median(one.hits for one in seen)
        figures[f"{named}: p50 of a request, ms"] = statistics.median(1e3 * one.seconds for one in seen)
        figures[f"{named}: CPU of a request, us"] = statistics.median(1e6 * one.cpu_s for one in seen)
    for processes in PROCESSES[1:]:
        pairs = list(zip(rounds[processes], rounds[1], strict=True))
        figures[f"{processes} / 1: hits"] = statistics.median(more.hits / one.hits for more, one in pairs)
        figures[f"{processes} / 1: CPU"] = statistics.median(more.cpu_s / one.cpu_s for more, one in pairs)
    return figures


def _fleet(processes: int) -> Fleet:
    blocks = round(ROOM * GROUPS / REPLICAS * (SYSTEM_TOKENS + QUESTION_TOKENS) / BLOCK_TOKENS)
    pools = [
        fake_pool(name, prefill_tokens_per_s=20_000, decode_step_s=0.002, block_size=BLOCK_TOKENS, kv_blocks=blocks)
        for name in "abcd"[:REPLICAS]
    ]
    return fake_fleet(*pools, processes=processes)


async def _round(url: str, seed: int) -> Served:
    chance = random.Random(seed)
    systems = [_words(chance, SYSTEM_TOKENS) for _ in range(GROUPS)]
    prompts = iter([chance.choice(systems) + _words(chance, QUESTION_TOKENS) for _ in range(REQUESTS)])
    found: list[tuple[int, int, float]] = []
    pids = [psutil.Process(pid) for pid in serving_on_ray()]
    began = _cpu_s(pids)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(url, prompts, found))
    cpu_s = _cpu_s(pids) - began
    half = found[len(found) // 2 :]  # once caches are full
    return Served(
        hits=sum(cached for cached, _, _ in half) / sum(tokens for _, tokens, _ in half),
        seconds=statistics.median(seconds for _, _, seconds in half),
        cpu_s=cpu_s / REQUESTS,
    )


def _words(chance: random.Random, tokens: int) -> str:
    """Text of so many tokens of the fake engine's: three characters each."""
    return "".join("".join(chance.choices(ascii_lowercase, k=2)) + " " for _ in range(tokens))


async def _client(url: str, prompts: Iterator[str], found: list[tuple[int, int, float]]) -> None:
    for prompt in prompts:
        body = {"model": "m", "prompt": prompt, "max_tokens": 4, "ignore_eos": True}
        began = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.post(f"{url}/v1/completions", json=body, timeout=aiohttp.ClientTimeout(total=60)) as answer,
        ):
            assert answer.status == 200, await answer.text()
            usage = (await answer.json())["usage"]
        details = usage["prompt_tokens_details"] or {}
        found.append((details.get("cached_tokens") or 0, usage["prompt_tokens"], time.monotonic() - began))
        await asyncio.sleep(PAUSE_S)


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
