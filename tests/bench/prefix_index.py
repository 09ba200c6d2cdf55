"""The index of prefixes at work: memory for each block of 16 tokens, and the time that reports take of an event loop.

As a gateway sees it: reports of some keys each, of all replicas in turn, until their caches are full; then as many keys
removed as stored.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil

from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.reports import Header, Report, decode_report, encode
from deployments.routing.cache_change import CacheChange
from deployments.routing.index import PrefixIndex
from deployments.routing.keys import KEY_BITS, KEY_TOKENS

REPLICAS, KEYS_EACH = 64, 22_000
"""Caches of 1.4 million tokens, as GPT-OSS-120B's on an H200."""
KEYS_IN_REPORT = 24
CHURN_REPORTS = 20_000
BUSY_TOKENS_PER_S = 7_500
"""Of one replica, all of which displace others from its cache."""
BLOCK_TOKENS = 16

HEADER = Header(bytes(8), bytes(8), 1, FeedState.EXACT)


@dataclass
class Caches:
    """What the replicas hold, oldest first, and the reports that fill and turn over their caches."""

    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    held: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(REPLICAS)])

    def fill(self) -> Iterator[tuple[int, bytes]]:
        for _ in range(KEYS_EACH // KEYS_IN_REPORT):
            for replica in range(REPLICAS):
                yield replica, self._report(replica, b"")

    def turn_over(self) -> Iterator[tuple[int, bytes]]:
        for number in range(CHURN_REPORTS):
            replica = number % REPLICAS
            yield replica, self._report(replica, self.held[replica].pop(0))

    def _report(self, replica: int, removed: bytes) -> bytes:
        stored = self.draw.integers(0, 2**KEY_BITS, KEYS_IN_REPORT, dtype=np.uint64).tobytes()
        self.held[replica].append(stored)
        blocks = KEYS_IN_REPORT * KEY_TOKENS // BLOCK_TOKENS
        return encode(Report(HEADER, 0, False, stored, removed, blocks, blocks if removed else 0))


def follow(index: PrefixIndex, reports: list[tuple[int, bytes]]) -> list[float]:
    """Seconds of CPU that each of the reports takes."""
    taken = []
    for replica, report in reports:
        started = time.thread_time()
        index.change(replica, decode_report(report).change())
        taken.append(time.thread_time() - started)
    return taken


def run() -> dict[str, float]:
    caches, index = Caches(), PrefixIndex("m")
    for replica in range(REPLICAS):
        index.add(replica, KEYS_EACH * KEY_TOKENS // BLOCK_TOKENS, BLOCK_TOKENS)
    filling = list(caches.fill())
    gc.collect()
    before = psutil.Process().memory_info().rss
    filled = follow(index, filling)
    grown = psutil.Process().memory_info().rss - before
    blocks = index.keys * KEY_TOKENS // BLOCK_TOKENS
    turned = follow(index, list(caches.turn_over()))
    key_s = sum(turned) / len(turned) / (2 * KEYS_IN_REPORT)
    started = time.thread_time()
    index.change(0, CacheChange(cleared=True))
    return {
        "million blocks of 16 tokens": blocks / 1e6,
        "memory per block, bytes": grown / blocks,
        "a key stored or removed, us": 1e6 * key_s,
        f"core for {REPLICAS} busy replicas": REPLICAS * 2 * BUSY_TOKENS_PER_S / KEY_TOKENS * key_s,
        "longest report while they fill, ms": 1e3 * max(filled),
        "longest report after that, ms": 1e3 * max(turned),
        "all of a replica forgotten, ms": 1e3 * (time.thread_time() - started),
    }
