"""One decision of the router: a prompt of 8k token ids, 1M indexed blocks; and its growth from 8 to 1,000 replicas."""

from __future__ import annotations

import gc
import random
import statistics
import time

from deployments.kv_cache.events import Stored
from deployments.routing import Booking, Request, Router
from deployments.routing.keys import KEY_TOKENS
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of
from tests.support.block_index import apply_events

PROMPT_TOKENS = 8192
SHARED_TOKENS = 2048
BLOCKS = 1_000_000
DECISIONS = 5000
OPEN_PER_REPLICA = 4
SMALL, USUAL, LARGE = 8, 64, 1000


def filled(replicas: int, chance: random.Random) -> tuple[Router, list[list[int]]]:
    """A router over equal replicas whose caches together hold `BLOCKS` blocks, and some of the prompts in them."""
    router = Router("m", seed=1)
    known = [
        router.add(f"r{n}", f"r{n}", "pool", 512, seed_of("h200"), kv_tokens=BLOCKS * KEY_TOKENS)
        for n in range(replicas)
    ]
    shared = [[chance.randrange(200_000) for _ in range(SHARED_TOKENS)] for _ in range(50)]
    prompts = []
    per_prompt = PROMPT_TOKENS // KEY_TOKENS
    for stored in range(0, BLOCKS, per_prompt):
        own = [chance.randrange(200_000) for _ in range(PROMPT_TOKENS - SHARED_TOKENS)]
        prompt = chance.choice(shared) + own
        apply_events(
            router, chance.choice(known), [Stored(range(stored, stored + per_prompt), None, prompt, KEY_TOKENS)]
        )
        if len(prompts) < 500:
            prompts.append(prompt)
    return router, prompts


def decisions(router: Router, prompts: list[list[int]], replicas: int, chance: random.Random) -> list[float]:
    """Seconds of each decision, from token ids to the booking, in a fleet at work."""
    open_ones: list[Booking] = []
    taken = []
    for number in range(DECISIONS):
        cut = chance.randrange(0, PROMPT_TOKENS, KEY_TOKENS)
        ids = chance.choice(prompts)[:cut] + [number] * (PROMPT_TOKENS - cut)
        now = number * 0.01
        started = time.perf_counter()
        keys = router.index.prompt_keys(Prompt(ids))
        booking = router.place(Request(tokens=PROMPT_TOKENS, keys=keys), now)
        taken.append(time.perf_counter() - started)
        assert booking is not None
        open_ones.append(booking)
        if len(open_ones) > OPEN_PER_REPLICA * replicas:
            ended = open_ones.pop(0)
            router.first_token(ended, now)
            router.finish(ended, now + 1, 100, ended.cached_tokens)
    return taken[DECISIONS // 10 :]


def run() -> dict[str, float]:
    figures = {}
    medians = {}
    for replicas in (USUAL, SMALL, LARGE):
        chance = random.Random(replicas)
        router, prompts = filled(replicas, chance)
        gc.collect()
        gc.freeze()  # as a gateway does once it has started: what stays is not looked at again
        taken = sorted(decisions(router, prompts, replicas, chance))
        gc.unfreeze()
        medians[replicas] = statistics.median(taken)
        if replicas == USUAL:
            figures["64 replicas, p50 ms"] = 1e3 * medians[replicas]
            figures["64 replicas, p99 ms"] = 1e3 * taken[int(0.99 * len(taken))]
            figures["64 replicas, decisions/s"] = len(taken) / sum(taken)
            figures["index, MB per million blocks"] = router.index.size_bytes() / 1e6
    figures["1,000 replicas / 8 replicas, p50"] = medians[LARGE] / medians[SMALL]
    return figures
