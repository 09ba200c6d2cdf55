"""A gateway's subscriber and a reporter's publisher over real, encrypted sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys
from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.engine.cache_reporter.publisher import Publisher
from deployments.kv_cache import replica_copy
from deployments.kv_cache.events import Cleared, Removed, Stored
from deployments.kv_cache.keying import prefix_keys
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.report_stream import ReportStream
from deployments.kv_cache.report_subscriber import PURPOSE, ReporterAddresses, ReportSubscriber
from deployments.routing.cache_change import CacheChange
from deployments.routing.keys import KEY_TOKENS
from tests.support.front import until

SECRETS = FleetSecrets((b"a-secret-of-this-fleet",))
OTHERS = FleetSecrets((b"a-secret-of-another-fleet", b"a-secret-of-this-fleet"))
EXACT, CATCHING_UP, DEGRADED = FeedState.EXACT, FeedState.CATCHING_UP, FeedState.DEGRADED


class Copy:
    """A sink: the keys, as they are known."""

    def __init__(self) -> None:
        self.keys: set[int] = set()
        self.states: list[FeedState] = []
        self.changes = 0

    def held(self) -> set[int]:
        return self.keys

    def change(self, change: CacheChange) -> None:
        self.changes += 1
        if change.cleared:
            self.keys.clear()
        self.keys.difference_update(change.removed)
        self.keys.update(change.stored)

    def clear(self) -> None:
        self.keys.clear()

    def state(self, state: FeedState) -> None:
        self.states.append(state)


@asynccontextmanager
async def publishing(secrets: FleetSecrets = SECRETS) -> AsyncIterator[tuple[CacheLog, Publisher]]:
    log = CacheLog(prefix_keys(secrets), "m")
    log.state(EXACT)
    publisher = Publisher(log, SocketKeys.of(secrets, PURPOSE), "127.0.0.1")
    running = asyncio.create_task(publisher.run())
    try:
        yield log, publisher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        publisher.close()


@asynccontextmanager
async def following(addresses: ReporterAddresses, secrets: FleetSecrets = SECRETS) -> AsyncIterator[Copy]:
    copy = Copy()
    keying = prefix_keys(secrets).fingerprint
    keys = SocketKeys.of(secrets, PURPOSE)
    stream = ReportStream(keys)
    running = asyncio.create_task(stream.run())
    subscriber = ReportSubscriber(addresses, keys, keying, copy)
    stream.add(subscriber)
    try:
        yield copy
    finally:
        stream.remove(subscriber)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def prompt(number: int, blocks: int = 3) -> Stored:
    tokens = [number] * KEY_TOKENS * blocks
    return Stored([(number, place) for place in range(blocks)], None, tokens, KEY_TOKENS)


async def test_early_and_late_gateways_know_what_the_engine_holds() -> None:
    async with publishing() as (log, publisher), following(publisher.addresses) as early:
        await until(lambda: early.states[-1:] == [EXACT])
        for number in range(50):
            log.apply([prompt(number)])
        log.apply([Removed([(7, 2)])])
        await until(lambda: early.keys == set(log._accounts.held))
        assert len(early.keys) == 149
        async with following(publisher.addresses) as late:
            await until(lambda: late.states[-1:] == [EXACT])
            assert late.keys == early.keys
        log.apply([Cleared(), prompt(99)])
        await until(lambda: len(early.keys) == 3)
        assert early.states == [CATCHING_UP, EXACT]


async def test_a_snapshot_of_many_parts_is_taken_in_slices() -> None:
    async with publishing() as (log, publisher):
        for number in range(30):
            log.apply([prompt(number, 1000)])
        async with following(publisher.addresses) as copy:
            await until(lambda: copy.states[-1:] == [EXACT])
            assert copy.keys == set(log._accounts.held)
            assert copy.changes > 30_000 // 4096


async def test_one_stream_brings_each_of_many_replicas_its_own_reports() -> None:
    """Their snapshots are fetched a few at a time."""
    keys, keying = SocketKeys.of(SECRETS, PURPOSE), prefix_keys(SECRETS).fingerprint
    async with AsyncExitStack() as stack:
        reporters = [await stack.enter_async_context(publishing()) for _ in range(6)]
        stream = ReportStream(keys)
        stream._gate = asyncio.Semaphore(2)
        running = asyncio.create_task(stream.run())
        copies = [Copy() for _ in reporters]
        for number, (log, _) in enumerate(reporters):
            log.apply([prompt(number)])
        subscribers = [
            ReportSubscriber(publisher.addresses, keys, keying, copy)
            for (_, publisher), copy in zip(reporters, copies, strict=True)
        ]
        for subscriber in subscribers:
            stream.add(subscriber)
        await until(lambda: all(copy.states[-1:] == [EXACT] for copy in copies))
        for number, (log, _) in enumerate(reporters):
            log.apply([prompt(100 + number)])
        logs = [log for log, _ in reporters]
        await until(lambda: all(c.keys == set(log._accounts.held) for c, log in zip(copies, logs, strict=True)))
        assert len(set().union(*(copy.keys for copy in copies))) == 6 * 6
        stream.remove(subscribers[0])
        for log in logs:
            log.apply([Cleared()])
        await until(lambda: not any(copy.keys for copy in copies[1:]))
        assert len(copies[0].keys) == 6, "nobody follows it any more"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_how_far_the_reporter_is_behind_its_engine_is_passed_on() -> None:
    async with publishing() as (log, publisher), following(publisher.addresses) as copy:
        await until(lambda: copy.states[-1:] == [EXACT])
        for state in (CATCHING_UP, DEGRADED, EXACT):
            log.state(state)
            await until(lambda state=state: copy.states[-1] is state)


async def test_a_reporter_that_is_gone_is_not_believed_and_then_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_copy, "LOST_S", 1.0)
    async with publishing() as (log, publisher):
        addresses = publisher.addresses
        log.apply([prompt(1)])
        following_it = following(addresses)
        copy = await following_it.__aenter__()
        await until(lambda: len(copy.keys) == 3)
        await until(lambda: copy.states[-1] is EXACT)
    await until(lambda: copy.states[-2:] == [CATCHING_UP, DEGRADED])
    assert copy.keys == set()
    await following_it.__aexit__(None, None, None)


async def test_keys_of_another_secret_are_not_used() -> None:
    """While secrets are rotated both sides let each other in, and may still key by different ones."""
    async with publishing(OTHERS) as (log, publisher), following(publisher.addresses) as copy:
        log.apply([prompt(1)])
        await until(lambda: copy.states[-1:] == [DEGRADED])
        assert copy.keys == set()


async def test_bytes_that_are_no_report_cost_a_snapshot() -> None:
    async with publishing() as (log, publisher), following(publisher.addresses) as copy:
        await until(lambda: copy.states[-1:] == [EXACT])
        publisher._reports.send_multipart([log.name, b"no report"])
        await until(lambda: copy.states[-2:] == [CATCHING_UP, EXACT])
        log.apply([prompt(1)])
        await until(lambda: len(copy.keys) == 3)


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:9#00"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    keys = SocketKeys.of(SECRETS, PURPOSE)
    stream = ReportStream(keys)
    with pytest.raises((ValueError, zmq.ZMQError)):
        stream.add(ReportSubscriber(ReporterAddresses(address, address), keys, b"", Copy()))
    stream.close()
