"""How fast a gateway follows an engine's KV events: a replay of prompts of 8,192 tokens, and what it costs others."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from statistics import median

import uvloop

from deployments.kv_cache.events import KvEvent, Stored
from deployments.kv_cache.messages import Decoder, encode
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.subscriber import Subscriber
from tests.support.kv_publisher import free_endpoints, publisher

BATCHES = 2_000
TOKENS = 8_192
BLOCK = 16
DECODED = 200


class Counter:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.batches = 0

    def apply(self, events: Sequence[KvEvent]) -> None:
        self.batches += 1

    def clear(self) -> None:
        self.batches = 0

    def state(self, state: FeedState) -> None:
        """Not needed: the count says when it is done."""


def prompt(number: int) -> Stored:
    first = number * TOKENS
    hashes = [(first + block) * 2_654_435_761 % 2**64 for block in range(TOKENS // BLOCK)]
    return Stored(hashes, None, list(range(TOKENS)), BLOCK)


def serve(endpoints: tuple[str, str], ready: Event, over: Event) -> None:
    """An engine that has published all batches and answers replays."""
    with publisher(endpoints) as engine:
        for number in range(BATCHES):
            engine.publish([prompt(number)])
        ready.set()
        while not over.wait(0.005):
            engine.answer()


@contextmanager
def engine_process() -> Iterator[tuple[str, str]]:
    """Addresses of an engine in a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    endpoints, ready, over = free_endpoints(), spawning.Event(), spawning.Event()
    process = spawning.Process(target=serve, args=(endpoints, ready, over))
    process.start()
    try:
        assert ready.wait(60)
        yield endpoints
    finally:
        over.set()
        process.join()


async def follow(endpoints: tuple[str, str]) -> tuple[float, list[float]]:
    """Seconds until all batches are there, and how late the loop's other tasks came in between."""
    counter, late = Counter(), []
    running = asyncio.create_task(Subscriber(*endpoints, counter).run())
    began = time.perf_counter()
    async with asyncio.timeout(60):
        while counter.batches < BATCHES:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - asked - 0.001)
    taken = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return taken, late


def run() -> dict[str, float]:
    payload, decoder = encode([prompt(0)], 0.0), Decoder()
    decoding = []
    for _ in range(DECODED):
        began = time.perf_counter()
        decoder.decode(payload)
        decoding.append(time.perf_counter() - began)
    with engine_process() as endpoints:
        taken, late = uvloop.run(follow(endpoints))
    return {
        "bytes of a batch": len(payload),
        "decode p50 us": 1e6 * median(decoding),
        "replayed batches/s": BATCHES / taken,
        "replayed tokens/s": BATCHES * TOKENS / taken,
        "others late p50 ms": 1e3 * median(late),
        "others late p99 ms": 1e3 * sorted(late)[len(late) * 99 // 100],
        "others late most ms": 1e3 * max(late),
    }
