"""What the router takes: 1M indexed blocks, a stream of requests and of first tokens and ends in between.

A decision from the ids of an 8k prompt to its booking, and its parts for prompts of 1k tokens, at 8, 64 and 1,000
replicas; the median of each, in CPU time of the thread.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

from deployments.kv_cache.events import Stored
from deployments.routing import Booking, Request, Router
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of
from tests.support.block_index import apply_events

SHORT_TOKENS, PROMPT_TOKENS = 1024, 8192
SHARED_TOKENS = 2048
BLOCKS, BLOCK_TOKENS = 1_000_000, 16
DECISIONS = 4000
OPEN_PER_REPLICA = 4
SMALL, USUAL, LARGE = 8, 64, 1000


T = TypeVar("T")


def filled(replicas: int, chance: random.Random) -> tuple[Router, list[list[int]], float]:
    """A router over equal replicas whose caches together hold `BLOCKS` blocks, some of the prompts in them, and the
    seconds in which they joined."""
    router = Router("m", seed=1)
    started = time.thread_time()
    known = [
        router.add(
            f"r{n}", f"r{n}", "pool", 512, seed_of("h200"), block_tokens=BLOCK_TOKENS, kv_tokens=BLOCKS * BLOCK_TOKENS
        )
        for n in range(replicas)
    ]
    joined_s = time.thread_time() - started
    shared = [[chance.randrange(200_000) for _ in range(SHARED_TOKENS)] for _ in range(50)]
    prompts = []
    per_prompt = PROMPT_TOKENS // BLOCK_TOKENS
    for stored in range(0, BLOCKS, per_prompt):
        own = [chance.randrange(200_000) for _ in range(PROMPT_TOKENS - SHARED_TOKENS)]
        prompt = chance.choice(shared) + own
        apply_events(
            router, chance.choice(known), [Stored(range(stored, stored + per_prompt), None, prompt, BLOCK_TOKENS)]
        )
        if len(prompts) < 500:
            prompts.append(prompt)
    return router, prompts, joined_s


class Times:
    """Seconds of CPU of each kind of call."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def of(self, name: str, call: Callable[..., T], *arguments: Any) -> T:
        started = time.thread_time()
        result = call(*arguments)
        self.taken.setdefault(name, []).append(time.thread_time() - started)
        return result

    def median(self, name: str) -> float:
        return statistics.median(self.taken[name][DECISIONS // 10 :])


def stream(router: Router, prompts: list[list[int]], tokens: int, replicas: int, chance: random.Random) -> Times:
    """Requests in a fleet at work, some of whose prompts are cached."""
    open_ones: list[Booking] = []
    times = Times()
    for number in range(DECISIONS):
        cut = chance.randrange(0, tokens, BLOCK_TOKENS)
        ids = chance.choice(prompts)[:cut] + [number] * (tokens - cut)
        now = number * 0.01
        keys = times.of("keys", router.index.prompt_keys, Prompt(ids))
        wanted = Request(tokens=tokens, keys=keys)
        booking = times.of("place", router.place, wanted, now)
        assert booking is not None
        open_ones.append(booking)
        if len(open_ones) > min(OPEN_PER_REPLICA * replicas, DECISIONS // 4):
            ended = open_ones.pop(0)
            times.of("first token", router.first_token, ended, now)
            times.of("finish", router.finish, ended, now + 1, 100, ended.cached_tokens)
    return times


def run() -> dict[str, float]:
    figures = {}
    for replicas in (SMALL, USUAL, LARGE):
        chance = random.Random(replicas)
        router, prompts, joined_s = filled(replicas, chance)
        figures[f"{replicas} replicas join, ms"] = 1e3 * joined_s
        gc.collect()
        gc.freeze()  # as a gateway does once it has started: what stays is not looked at again
        for tokens in (SHORT_TOKENS, PROMPT_TOKENS):
            times = stream(router, prompts, tokens, replicas, chance)
            for name in times.taken:
                figures[f"{replicas} replicas, {tokens} tokens: {name}, p50 us"] = 1e6 * times.median(name)
            if replicas == USUAL:
                whole = sorted(map(sum, zip(times.taken["keys"], times.taken["place"], strict=True)))
                figures[f"{replicas} replicas, {tokens} tokens: keys and place, p99 us"] = (
                    1e6 * whole[int(0.99 * len(whole))]
                )
        gc.unfreeze()
        if replicas == USUAL:
            figures["index, MB per million blocks"] = router.index.size_bytes() / 1e6
    return figures
