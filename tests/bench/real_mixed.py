"""Two real engines of one small chat model, one of them at a third of its speed: ours against vLLM's own router.

Each engine has a core; the slow one is stopped two thirds of the time. Groups of chats share a system prompt of one to
two thousand tokens. Requests come from a few users who think between an answer and the next question, so that tokens/s
follow from how soon answers end; an open loop's follow from its arrivals alone. Every run has prompts of its own, so
that it begins cold; its first requests warm it up and are not counted. Figures are medians over rounds of all subjects
in turn. `run(kv_blocks=TIGHT)` has caches that hold five of the eight groups instead of all.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop

from deployments.engine.vllm.routes import value
from tests.bench.gateway_streams import percentile
from tests.support.cpu_time import cpu_seconds
from tests.support.processes import gateway
from tests.support.real_engine import RealEngine, duty_cycled, real_engine, real_fleet
from tests.support.shared_prefixes import Workload, as_token_ids
from tests.support.streaming import Streamed, client, streamed, thinking_users
from tests.support.vllm_router import vllm_router

ROUNDS = 5
REQUESTS, WARM_UP = 64, 24
"""Of one run: sent, and of these the first that are not counted."""

WORKLOAD = Workload("smollm2", groups=8, prefix=(1024, 1792), question=24, output=12)
USERS = 4
THINK = 7
"""Mean of the users' time between an answer and the next question, in times that the fast engine takes for a hit."""

CHECKPOINT = "smollm2-135m-instruct"
SLOTS = 8
FLAGS = {"max-model-len": 2048, "max-num-batched-tokens": 2048, "block-size": 32}
ROOMY, TIGHT = 512, 240
"""KV blocks of an engine: all eight groups beside what runs, or five of them."""

ON_S, OFF_S = 0.05, 0.1
SLOW = ON_S / (ON_S + OFF_S)

Opened = AbstractContextManager[tuple[str, int]]


@dataclass(frozen=True)
class Subject:
    """What is measured: how it is started over engines, and whether its requests bring token ids.

    vLLM's `kv_aware` knows prefixes by token ids only, and tokenises nothing: it gets the ids of the same chats.
    """

    name: str
    start: Callable[[Sequence[RealEngine]], Opened]
    token_ids: bool = False


def ours(policy: str) -> Subject:
    def start(engines: Sequence[RealEngine]) -> Opened:
        return gateway(real_fleet(engines, policy=policy), [engine.replica_info for engine in engines])

    return Subject(f"ours {policy}", start)


def theirs(policy: str, token_ids: bool = False) -> Subject:
    def start(engines: Sequence[RealEngine]) -> Opened:
        return vllm_router(policy, [engine.replica_info for engine in engines])

    return Subject(f"vllm-router {policy}", start, token_ids)


SUBJECTS = (
    ours("seconds"),
    ours("round-robin"),
    theirs("cache_aware"),
    theirs("kv_aware", token_ids=True),
)


@dataclass(frozen=True)
class Run:
    """One subject's figures of one run; shares are of what could be had."""

    ttft_p50: float
    ttft_p90: float
    tokens_per_s: float
    hits: float
    fast_share: float
    fast_cpu: float
    slow_cpu: float
    proxy_cpu: float


@dataclass(frozen=True)
class Bench:
    """The engines (the fast one first), and the mean time that a user thinks."""

    engines: tuple[RealEngine, RealEngine]
    think_s: float

    async def run(self, subject: Subject, shape: int, seed: int) -> Run:
        """Runs of one `shape` have lengths, order and times to think in common, whatever their words."""
        bodies = await self._bodies(subject, shape, seed)
        draw = random.Random(shape)
        thinks = [draw.expovariate(1 / self.think_s) for _ in bodies]
        with subject.start(self.engines) as (url, pid):
            before, began = await self._counted(pid), time.perf_counter()
            answers = await thinking_users(url, USERS, bodies, thinks)
            after, wall = await self._counted(pid), time.perf_counter() - began
        fast, slow, proxy, fast_answers, slow_answers = (a - b for a, b in zip(after, before, strict=True))
        return Run(
            **figures_of(answers[WARM_UP:]),
            fast_share=fast_answers / (fast_answers + slow_answers),
            fast_cpu=fast / wall,
            slow_cpu=slow / wall / SLOW,
            proxy_cpu=proxy / wall,
        )

    async def _bodies(self, subject: Subject, shape: int, seed: int) -> list[dict[str, Any]]:
        checkpoint = Path(self.engines[0].replica_info.checkpoint)
        chats = list(islice(WORKLOAD.chats(checkpoint, shape, seed), REQUESTS))
        if not subject.token_ids:
            return chats
        async with client() as session:
            return [await as_token_ids(session, self.engines[0].url, chat) for chat in chats]

    async def _counted(self, proxy: int) -> list[float]:
        """CPU seconds of the engines and of the proxy so far, and the answers that each engine has given."""
        return [
            *[engine.cpu_seconds() for engine in self.engines],
            cpu_seconds(proxy),
            *await asyncio.gather(*[answers_given(engine.url) for engine in self.engines]),
        ]


def figures_of(answers: Sequence[Streamed]) -> dict[str, float]:
    ttfts = [answer.ttft for answer in answers]
    span = max(answer.ended for answer in answers) - min(answer.sent for answer in answers)
    return {
        "ttft_p50": percentile(ttfts, 0.5),
        "ttft_p90": percentile(ttfts, 0.9),
        "tokens_per_s": sum(answer.output_tokens for answer in answers) / span,
        "hits": sum(answer.cached_tokens for answer in answers) / sum(answer.prompt_tokens for answer in answers),
    }


async def answers_given(url: str) -> float:
    async with client() as session, session.get(f"{url}/metrics", raise_for_status=True) as answer:
        return value(await answer.text(), "vllm:request_success_total")


@dataclass(frozen=True)
class Alone:
    """What single requests take on an idle engine, in seconds: medians."""

    miss: float
    hit: float
    hit_ttft: float


async def alone(engine: RealEngine) -> Alone:
    workload = replace(WORKLOAD, groups=1)
    misses: list[Streamed] = []
    hits: list[Streamed] = []
    async with client() as session:
        for number in range(3):
            chats = workload.chats(Path(engine.replica_info.checkpoint), number, time.time_ns())
            for answers, chat in zip((misses, hits, hits), chats, strict=False):
                answers.append(await streamed(session, engine.url, chat))
    return Alone(
        miss=statistics.median(answer.ended - answer.sent for answer in misses),
        hit=statistics.median(answer.ended - answer.sent for answer in hits),
        hit_ttft=statistics.median(answer.ttft for answer in hits),
    )


@dataclass
class Measured:
    fast: Alone
    slow: Alone
    runs: dict[str, list[Run]]


async def measured(rounds: int, subjects: Sequence[Subject], kv_blocks: int) -> Measured:
    runs: dict[str, list[Run]] = defaultdict(list)
    flags = {**FLAGS, "num-gpu-blocks-override": kv_blocks}
    engine = partial(real_engine, WORKLOAD.model, CHECKPOINT, slots=SLOTS, flags=flags, keyless=True)
    async with engine(core=0) as fast, engine(core=1) as slow:
        await alone(fast)  # warms up
        fast_alone = await alone(fast)
        with duty_cycled(slow, ON_S, OFF_S):
            slow_alone = await alone(slow)
            print(f"   alone, fast: {fast_alone}\n   alone, slow: {slow_alone}", file=sys.stderr, flush=True)
            bench = Bench((fast, slow), THINK * fast_alone.hit)
            for number in range(rounds):
                for place, subject in enumerate(subjects):
                    run = await bench.run(subject, number, seed=number * len(subjects) + place)
                    runs[subject.name].append(run)
                    print(f"   round {number + 1}, {subject.name}: {run}", file=sys.stderr, flush=True)
    return Measured(fast_alone, slow_alone, runs)


def run(rounds: int = ROUNDS, subjects: Sequence[Subject] = SUBJECTS, kv_blocks: int = ROOMY) -> dict[str, float]:
    result = uvloop.run(measured(rounds, subjects, kv_blocks))
    figures = {
        "a hit alone, fast engine, TTFT s": result.fast.hit_ttft,
        "a hit alone, slow engine, TTFT s": result.slow.hit_ttft,
        "a miss alone, fast engine, s": result.fast.miss,
    }
    for name, runs in result.runs.items():
        for figure, of_run in FIGURES.items():
            figures[f"{name}, {figure}"] = statistics.median(map(of_run, runs))
    return figures


FIGURES: dict[str, Callable[[Run], float]] = {
    "TTFT p50 s": lambda run: run.ttft_p50,
    "TTFT p90 s": lambda run: run.ttft_p90,
    "tok/s": lambda run: run.tokens_per_s,
    "cached share of prompts": lambda run: run.hits,
    "share to the fast engine": lambda run: run.fast_share,
    "fast engine, CPU share": lambda run: run.fast_cpu,
    "slow engine, CPU share of its third": lambda run: run.slow_cpu,
    "proxy, share of a core": lambda run: run.proxy_cpu,
}
