"""The gateway, vLLM's own router and the bare server before one engine, alternated, at 1, 16 and 64 streams.

Twice: before a fake engine that paces its tokens, which shows what a proxy itself costs, and before a real vLLM that
takes all CPU it gets, which shows what is left of its throughput. Ratios are medians over rounds, each of a pair.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import uvloop

from cluster.fleet import Fleet
from deployments.replica_info import ReplicaInfo
from tests.support.cpu_time import cpu_seconds
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info
from tests.support.real_engine import real_engine, real_fleet
from tests.support.streaming import Streamed, closed_loop
from tests.support.vllm_router import vllm_router

ROUNDS = 7
TOKENS = 64
REQUESTS = {1: 6, 16: 3, 64: 2}
"""Streams at once -> requests of each, in one round."""

SHORT = (4, 25)
"""Streams at once, and requests of each, of a round of answers of one token: what a request costs by itself."""

PROXIES = ("router", "gateway")

FAKE_STEP_S = 0.01
FAKE_MODEL, REAL_MODEL = "m", "gpt-oss"
FLAGS = {"max-model-len": 1024, "max-num-batched-tokens": 2048, "block-size": 32}


@dataclass(frozen=True)
class Side:
    """Something that answers, and the proxy's process where there is one."""

    url: str
    pid: int | None


@dataclass(frozen=True)
class Round:
    """What one side did in one round. Times in seconds."""

    tokens_per_s: float
    p50: float
    cpu: float
    requests: int
    tokens: int


def measured(side: Side, body: dict[str, Any], streams: int, requests: int) -> Round:
    before = cpu_seconds(side.pid) if side.pid else 0.0
    answers: list[Streamed] = uvloop.run(closed_loop(side.url, body, streams, requests))
    cpu = (cpu_seconds(side.pid) if side.pid else 0.0) - before
    tokens = sum(answer.output_tokens for answer in answers)
    span = max(answer.ended for answer in answers) - min(answer.sent for answer in answers)
    p50 = statistics.median(answer.ended - answer.sent for answer in answers)
    return Round(tokens / span, p50, cpu, len(answers), tokens)


def compared(label: str, fleet: Fleet, engine: ReplicaInfo, body: dict[str, Any], rounds: int) -> dict[str, float]:
    """Figures of all three sides before `engine`."""
    with ExitStack() as stack:
        sides = {
            "bare": Side(engine.url, None),
            "router": Side(*stack.enter_context(vllm_router("round_robin", [engine]))),
            "gateway": Side(*stack.enter_context(gateway(fleet, [engine]))),
        }
        short = {**body, "max_tokens": 1}
        for side in sides.values():  # warms up
            measured(side, short, *SHORT)
        figures: dict[str, float] = {}
        shorts = alternated(sides, short, *SHORT, rounds)
        per_request = {name: cpu_per_request(shorts[name]) for name in PROXIES}
        figures |= {f"{label}: {name} CPU us/request": 1e6 * cpu for name, cpu in per_request.items()}
        for streams, requests in REQUESTS.items():
            took = alternated(sides, body, streams, requests, rounds)
            figures |= {f"{label}, {streams:2}: {name}": value for name, value in summary(took, per_request).items()}
    return figures


def alternated(
    sides: Mapping[str, Side], body: dict[str, Any], streams: int, requests: int, rounds: int
) -> dict[str, list[Round]]:
    """Every side in every round; which goes first changes from one to the next."""
    took: dict[str, list[Round]] = defaultdict(list)
    names = list(sides)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            took[name].append(measured(sides[name], body, streams, requests))
    return took


def cpu_per_request(rounds: Sequence[Round]) -> float:
    return sum(r.cpu for r in rounds) / sum(r.requests for r in rounds)


def summary(took: Mapping[str, list[Round]], per_request: Mapping[str, float]) -> dict[str, float]:
    """`per_request`: CPU seconds of each proxy for an answer of one token, which its further tokens come on top of."""

    def median(name: str, value: Callable[[Round], float]) -> float:
        return statistics.median(map(value, took[name]))

    def ratio(ours: str, theirs: str, value: Callable[[Round], float]) -> float:
        return statistics.median(value(o) / value(t) for o, t in zip(took[ours], took[theirs], strict=True))

    figures = {f"{name} tok/s": median(name, lambda r: r.tokens_per_s) for name in took}
    figures |= {f"{name} p50 ms": 1e3 * median(name, lambda r: r.p50) for name in took}
    for ours, theirs in (("gateway", "router"), ("gateway", "bare"), ("router", "bare")):
        figures[f"{ours}/{theirs} tok/s"] = ratio(ours, theirs, lambda r: r.tokens_per_s)
    figures["router/gateway p50"] = ratio("router", "gateway", lambda r: r.p50)
    for name, short in per_request.items():
        further = sum(r.tokens - r.requests for r in took[name])
        cpu = sum(r.cpu - r.requests * short for r in took[name])
        figures[f"{name} CPU us/chunk"] = 1e6 * cpu / further
    return figures


def body(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": "What is 27 + 58?",
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def before_a_fake(rounds: int) -> dict[str, float]:
    pool = fake_pool(slots=max(REQUESTS), decode_step_s=FAKE_STEP_S, prefill_tokens_per_s=1e9)
    with fake_engine(pool, keyless=True) as url:
        return compared("fake", fake_fleet(pool), replica_info(url, pool), body(FAKE_MODEL), rounds)


async def before_vllm(rounds: int) -> dict[str, float]:
    async with real_engine(REAL_MODEL, "tiny-gpt-oss-sums", None, max(REQUESTS), FLAGS, keyless=True) as engine:
        fleet = real_fleet([engine])
        return await asyncio.to_thread(compared, "vllm", fleet, engine.replica_info, body(REAL_MODEL), rounds)


def run(rounds: int = ROUNDS) -> dict[str, float]:
    return before_a_fake(rounds) | asyncio.run(before_vllm(rounds))
