"""The simulator's model of a step, held against a real engine: its constants fitted to a few measured times, then a
replay predicted that it has not seen. SmolLM2 on one core; the client has the other one."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop

from loadtest.latency import Quantiles
from loadtest.simulator.fleets import Member, SimulatedFleet
from loadtest.simulator.run import simulate
from loadtest.simulator.speeds import CPU, Speed
from loadtest.traces.trace import TraceRequest
from tests.support.real_engine import real_engine
from tests.support.streaming import Streamed, client, open_loop, streamed

MODEL, CHECKPOINT = "smollm2", "smollm2-135m-instruct"
SLOTS, BUDGET = 8, 2048
BLOCKS, BLOCK_TOKENS = 448, 32
FLAGS = {
    "max-model-len": 2048,
    "max-num-batched-tokens": BUDGET,
    "block-size": BLOCK_TOKENS,
    "num-gpu-blocks-override": BLOCKS,
}
TOKEN_IDS = (1000, 40_000)

PROMPTS = (16, 64, 128, 256, 512)
BATCHES = ((1, 32), (2, 32), (4, 32), (8, 32), (1, 512), (4, 256))
"""Sequences that decode at once, tokens of each one's prompt."""
DECODED = 24
REPEATS = 2

REPLAYED = 40
LOAD = 0.7
"""Share of the time in which the engine would work if it decoded four sequences in each step."""


@dataclass(frozen=True)
class Measured:
    """Seconds: prompt tokens -> to the first token; (sequences, prompt tokens) -> of a step that only decodes."""

    first_token_s: Mapping[int, float]
    step_s: Mapping[tuple[int, int], float]


def body(prompt_tokens: int, output_tokens: int, draw: random.Random) -> dict[str, Any]:
    """A prompt that shares nothing with any other."""
    return {
        "model": MODEL,
        "prompt": [draw.randrange(*TOKEN_IDS) for _ in range(prompt_tokens)],
        "max_tokens": output_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def measure(url: str, draw: random.Random) -> Measured:
    async with client() as session:

        async def together(count: int, prompt: int, output: int) -> list[Streamed]:
            bodies = [body(prompt, output, draw) for _ in range(count)]
            return list(await asyncio.gather(*(streamed(session, url, one) for one in bodies)))

        for count, prompt in ((1, 512), (8, 32)):
            await together(count, prompt, 8)  # warms up
        first: dict[int, list[float]] = {prompt: [] for prompt in PROMPTS}
        step: dict[tuple[int, int], list[float]] = {batch: [] for batch in BATCHES}
        for _ in range(REPEATS):
            for prompt in PROMPTS:
                first[prompt] += [answer.ttft for answer in await together(1, prompt, 1)]
            for count, prompt in BATCHES:
                # The last one to begin decodes beside all the others.
                last = max(await together(count, prompt, DECODED), key=lambda answer: answer.sent + answer.ttft)
                step[count, prompt].append((last.ended - last.sent - last.ttft) / (DECODED - 1))
    return Measured(
        {prompt: statistics.median(times) for prompt, times in first.items()},
        {batch: statistics.median(times) for batch, times in step.items()},
    )


def fitted(measured: Measured) -> Speed:
    """Least squares of the relative errors, no constant below 0."""
    batches = [(count, prompt + DECODED / 2) for count, prompt in measured.step_s]
    step_s, sequence_s, kv_token_s = _fit(
        [(1.0, count, count * context) for count, context in batches], list(measured.step_s.values())
    )
    constant_s, token_s, pair_s = _fit(
        [(1.0, prompt, prompt * prompt / 2) for prompt in measured.first_token_s], list(measured.first_token_s.values())
    )
    return Speed(
        arrival_s=max(0.0, constant_s - step_s),
        step_s=step_s,
        token_s=token_s,
        pair_s=pair_s,
        sequence_s=sequence_s,
        kv_token_s=kv_token_s,
        image_token_s=CPU.image_token_s,
        audio_s=CPU.audio_s,
        kv_tokens=BLOCKS * BLOCK_TOKENS,
        source="fitted to an engine on one core",
    )


def _fit(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Constants of the columns. One that came out below 0 is left out, and the others are fitted anew."""
    scaled = np.array(rows) / np.array(seconds)[:, None]
    kept = list(range(scaled.shape[1]))
    while True:
        found = np.linalg.lstsq(scaled[:, kept], np.ones(len(seconds)), rcond=None)[0]
        if (found >= 0).all():
            return [float(found[kept.index(n)]) if n in kept else 0.0 for n in range(scaled.shape[1])]
        kept.pop(int(found.argmin()))


def worst_of_fit(speed: Speed, measured: Measured) -> tuple[float, float]:
    """Largest relative error of the times it was fitted to: to the first token, of a step."""
    first = [
        (speed.arrival_s + speed.prefill_s(prompt, BUDGET)) / seconds - 1
        for prompt, seconds in measured.first_token_s.items()
    ]
    step = [
        (speed.step_s + count * (speed.sequence_s + (prompt + DECODED / 2) * speed.kv_token_s)) / seconds - 1
        for (count, prompt), seconds in measured.step_s.items()
    ]
    return max(map(abs, first)), max(map(abs, step))


def arrivals(speed: Speed, draw: random.Random) -> list[TraceRequest]:
    lengths = [(draw.randint(16, 256), draw.randint(8, 32)) for _ in range(REPLAYED)]
    busy_s = sum(
        speed.prefill_s(prompt, BUDGET) + output * (speed.step_s / 4 + speed.sequence_s) for prompt, output in lengths
    )
    at, requests = 0.0, []
    for prompt, output in lengths:
        requests.append(TraceRequest(at, prompt, output))
        at += draw.expovariate(LOAD * REPLAYED / busy_s)
    return requests


def predicted(speed: Speed, requests: Sequence[TraceRequest]) -> dict[str, Quantiles | None]:
    fleet = SimulatedFleet("one", (Member("cpu-0", "cpu", speed, SLOTS, BUDGET),), overcommit=REPLAYED)
    timings = simulate(fleet, requests, "round-robin").timings
    return {"TTFT": Quantiles.of(t.ttft_s for t in timings), "E2E": Quantiles.of(t.e2e_s for t in timings)}


async def replayed(url: str, requests: Sequence[TraceRequest], draw: random.Random) -> dict[str, Quantiles | None]:
    bodies = [body(request.input_tokens, request.output_tokens, draw) for request in requests]
    starts = [request.at_s for request in requests]
    gaps = [later - earlier for earlier, later in zip([0.0, *starts], starts, strict=False)]
    answers = await open_loop(url, bodies, gaps)
    return {"TTFT": Quantiles.of(a.ttft for a in answers), "E2E": Quantiles.of(a.ended - a.sent for a in answers)}


async def _run() -> dict[str, float]:
    draw = random.Random(7)
    async with real_engine(MODEL, CHECKPOINT, core=0, slots=SLOTS, flags=FLAGS, keyless=True) as engine:
        measured = await measure(engine.url, draw)
        speed = fitted(measured)
        print(f"   measured: {measured}", file=sys.stderr, flush=True)
        first_error, step_error = worst_of_fit(speed, measured)
        figures = {
            "fitted: arrival, ms": 1e3 * speed.arrival_s,
            "fitted: step, ms": 1e3 * speed.step_s,
            "fitted: prompt token, us": 1e6 * speed.token_s,
            "fitted: pair of tokens, ns": 1e9 * speed.pair_s,
            "fitted: decoding sequence, ms": 1e3 * speed.sequence_s,
            "fitted: token of context read, us": 1e6 * speed.kv_token_s,
            "fit: worst error of TTFT alone, %": 100 * first_error,
            "fit: worst error of a step, %": 100 * step_error,
        }
        requests = arrivals(speed, draw)
        real = await replayed(engine.url, requests, draw)
    for figure, foreseen in predicted(speed, requests).items():
        for name in ("p50", "p90"):
            seen = getattr(real[figure], name)
            figures[f"{figure} {name}, real s"] = seen
            figures[f"{figure} {name}, error of the prediction, %"] = 100 * (getattr(foreseen, name) / seen - 1)
    return figures


def run() -> dict[str, float]:
    figures: dict[str, float] = uvloop.run(_run())
    return figures
