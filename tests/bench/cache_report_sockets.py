"""A gateway process that follows the caches of busy replicas over real sockets, encrypted and with clients checked.

Each replica computes 7,500 tokens a second, all of which displace others; its reports are those of a cache reporter
that has as much to say. The CPU is of the whole process, ZeroMQ's own thread included.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import uvloop

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys
from deployments.engine.cache_reporter.publisher import Publisher
from deployments.gateway.replicas.kv_event_followers import Feeds
from deployments.kv_cache.keying import prefix_keys
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.report_subscriber import PURPOSE
from deployments.kv_cache.reports import Header, Report, SnapshotPart
from deployments.routing import Router
from deployments.routing.keys import KEY_BITS, KEY_TOKENS
from deployments.routing.seeds import seed_of
from tests.support.processes import fake_pool, replica_info

REPLICAS = (64, 1_000)
TOKENS_PER_S = 7_500
HELD_KEYS = 2_000
SECONDS = 10.0
SETTLE_S = 3.0
HOST = "127.0.0.1"
SECRETS = FleetSecrets((b"a-secret-of-this-bench",))


class BusyLog:
    """Stands for `CacheLog`: as many new keys at each report as the time since the last one brings."""

    def __init__(self, draw: np.random.Generator) -> None:
        self._on_news: Callable[[], None] = _ignore
        self._draw, self._keying = draw, prefix_keys(SECRETS).fingerprint
        self.name, self._sequence, self._at = secrets.token_bytes(8), 0, time.monotonic()
        self._held: list[bytes] = [self._new(HELD_KEYS)]

    @property
    def on_news(self) -> Callable[[], None]:
        return self._on_news

    @on_news.setter
    def on_news(self, notify: Callable[[], None]) -> None:
        self._on_news = notify
        notify()

    changed = False

    def report(self) -> Report:
        """There is always more to say."""
        now = time.monotonic()
        count = max(1, round((now - self._at) * TOKENS_PER_S / KEY_TOKENS))
        self._at, self._sequence = now, self._sequence + 1
        stored, removed = self._new(count), b""
        self._held.append(stored)
        if sum(map(len, self._held)) > 8 * HELD_KEYS:
            removed = self._held.pop(0)
        asyncio.get_running_loop().call_soon(self._on_news)
        return Report(self._header(), self._sequence - 1, False, stored, removed, 4 * count, len(removed) // 2)

    def snapshot(self, request: int) -> Iterator[SnapshotPart]:
        yield SnapshotPart(self._header(), request, 0, 1, b"".join(self._held))

    def _header(self) -> Header:
        return Header(self.name, self._keying, self._sequence, FeedState.EXACT)

    def _new(self, count: int) -> bytes:
        return self._draw.integers(0, 2**KEY_BITS, count, dtype=np.uint64).tobytes()


def _ignore() -> None:
    """Nobody listens yet."""


def publish(replicas: int, addresses: multiprocessing.connection.Connection) -> None:
    """The reporters of so many replicas, until this process is ended."""

    async def run() -> None:
        draw, keys = np.random.default_rng(1), SocketKeys.of(SECRETS, PURPOSE)
        publishers = [Publisher(BusyLog(draw), keys, HOST) for _ in range(replicas)]  # type: ignore[arg-type]
        addresses.send([(one.addresses.reports, one.addresses.snapshots) for one in publishers])
        async with asyncio.TaskGroup() as tasks:
            for one in publishers:
                tasks.create_task(one.run())

    uvloop.run(run())


@contextmanager
def reporters(replicas: int) -> Iterator[tuple[psutil.Process, list[tuple[str, str]]]]:
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=publish, args=(replicas, there), daemon=True)
    process.start()
    try:
        yield psutil.Process(process.pid), here.recv()
    finally:
        process.terminate()
        process.join()


async def follow(publishing: psutil.Process, addresses: list[tuple[str, str]]) -> tuple[float, float, float]:
    """Shares of a core that this process and `publishing` use, and share of the replicas whose copy is exact."""
    feeds, router = Feeds(SECRETS), Router("m", prefix_keys=prefix_keys(SECRETS))
    infos = []
    for number, (reports, snapshots) in enumerate(addresses):
        name = f"http://{HOST}:{number}"
        router.add(f"r{number}", name, "p", 8, seed_of(None), kv_tokens=HELD_KEYS * KEY_TOKENS, block_tokens=16)
        infos.append(replica_info(name, fake_pool(), cache_reports=reports, cache_snapshots=snapshots))
    feeds.follow(router, infos)
    try:
        async with asyncio.timeout(120):
            while any(feeds.state(info.incarnation) is not FeedState.EXACT for info in infos):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE_S)
        began, cpu, theirs = time.monotonic(), time.process_time(), sum(publishing.cpu_times()[:2])
        await asyncio.sleep(SECONDS)
        passed_s = time.monotonic() - began
        used, published = (time.process_time() - cpu) / passed_s, (sum(publishing.cpu_times()[:2]) - theirs) / passed_s
        exact = sum(feeds.state(info.incarnation) is FeedState.EXACT for info in infos)
        return used, published, exact / len(infos)
    finally:
        await feeds.close()


def run() -> dict[str, float]:
    figures = {}
    for replicas in REPLICAS:
        with reporters(replicas) as (publishing, addresses):
            used, published, exact = uvloop.run(follow(publishing, addresses))
        figures[f"{replicas} busy replicas: share of a core"] = used
        figures[f"{replicas}: of each reporter, in what it sends"] = published / replicas
        figures[f"{replicas}: share that is exact"] = exact
    return figures
