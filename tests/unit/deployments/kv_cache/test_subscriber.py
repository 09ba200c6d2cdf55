"""A subscriber over real sockets, in both event loops that it may run in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvloop
import zmq

from deployments.kv_cache import replay_protocol as feed
from deployments.kv_cache import subscriber
from deployments.kv_cache.events import Cleared, Stored
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.subscriber import Subscriber
from tests.support.kv_follower import Notes, following
from tests.support.kv_publisher import Publisher, free_endpoints, publisher

EXACT, CATCHING_UP, DEGRADED = FeedState.EXACT, FeedState.CATCHING_UP, FeedState.DEGRADED

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def run(new_loop: NewLoop, scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario)


def block(number: int) -> Stored:
    return Stored([number], None, [number], 1)


async def until(publishing: Publisher, notes: Notes, reached: Callable[[Notes], bool]) -> None:
    """Answers questions until the follower has got there."""
    async with asyncio.timeout(20):
        while not reached(notes):
            publishing.answer()
            await asyncio.sleep(0.01)


def knows(count: int, state: FeedState = EXACT) -> Callable[[Notes], bool]:
    return lambda notes: len(notes.events) == count and notes.states[-1] is state


@LOOPS
def test_live_early_and_lost_batches_arrive_in_order_once(new_loop: NewLoop) -> None:
    async def scenario() -> None:
        with publisher() as engine:
            for number in range(3):
                engine.publish([block(number)])
            async with following(engine.endpoint, engine.replay_endpoint) as notes:
                await until(engine, notes, knows(3))
                engine.publish([block(3), block(4)])
                engine.publish([block(5)], lost=True)
                engine.publish([block(6)])
                await until(engine, notes, knows(7))
                engine.publish([block(7)], lost=True)
                await until(engine, notes, knows(8))
        assert notes.events == [block(number) for number in range(8)]
        assert notes.clears == 0
        assert notes.states[:2] == [CATCHING_UP, EXACT]

    run(new_loop, scenario())


@LOOPS
def test_a_replay_that_overflows_the_engines_socket_is_taken_up_again(
    new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "REPLAY_QUEUE", 50)
    monkeypatch.setattr(subscriber, "TICK_S", 0.02)
    monkeypatch.setattr(feed, "PAUSE_TIMEOUT_S", 0.1)
    count = 3_500
    batches = [[Stored([number], None, list(range(1000)), 1000)] for number in range(count)]

    async def scenario() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        with publisher() as engine:
            for batch in batches:
                engine.publish(batch)
            async with following(engine.endpoint, engine.replay_endpoint) as notes:
                other = asyncio.create_task(others())
                await until(engine, notes, knows(count))
                other.cancel()
        assert notes.events == [event for batch in batches for event in batch]
        assert engine.replayed > count, "the answer fitted into the socket: nothing was shown"
        assert turns > 100, "the loop's other tasks had their turns"

    run(new_loop, scenario())


@LOOPS
def test_another_engine_at_the_same_address_starts_anew(new_loop: NewLoop) -> None:
    async def scenario() -> None:
        endpoints = free_endpoints()
        async with following(*endpoints) as notes:
            with publisher(endpoints) as old:
                for number in range(3):
                    old.publish([block(number)])
                await until(old, notes, knows(3))
            await notes.until_state(CATCHING_UP)
            with publisher(endpoints) as new:
                new.publish([block(10)])
                await until(new, notes, lambda notes: notes.events == [block(10)])
                new.publish([block(11)])
                await until(new, notes, knows(2))
        assert notes.clears == 1

    run(new_loop, scenario())


@LOOPS
def test_an_engine_that_is_gone_is_given_up_and_nothing_is_left(
    new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "ANSWER_TIMEOUT_S", 0.1)

    async def scenario() -> None:
        before = asyncio.all_tasks()
        endpoints = free_endpoints()
        async with following(*endpoints) as notes:
            with publisher(endpoints) as engine:
                engine.publish([block(0)])
                await until(engine, notes, knows(1))
            await notes.until_state(DEGRADED)
            assert notes.events == []
        assert asyncio.all_tasks() == before

    run(new_loop, scenario())


async def test_what_is_no_batch_is_passed_over_or_degrades_until_all_is_forgotten() -> None:
    with publisher() as engine:
        async with following(engine.endpoint, engine.replay_endpoint) as notes:
            engine.publish([block(0)])
            await until(engine, notes, knows(1))
            engine.send_raw([b"", b"short", b""])
            engine.send_raw([b"alone"])
            engine.publish([block(1)])
            await until(engine, notes, knows(2))
            engine.publish_bytes(b"no batch")
            engine.publish([block(2)])
            await until(engine, notes, knows(1, DEGRADED))
            engine.publish([Cleared(), block(3)])
            await until(engine, notes, knows(3, EXACT))
    assert notes.events == [block(2), Cleared(), block(3)]
    assert notes.clears == 1


async def test_an_engine_that_lost_its_first_batches_is_degraded() -> None:
    with publisher(kept=2) as engine:
        for number in range(5):
            engine.publish([block(number)])
        async with following(engine.endpoint, engine.replay_endpoint) as notes:
            await until(engine, notes, knows(2, DEGRADED))
    assert notes.events == [block(3), block(4)]


@pytest.mark.parametrize("endpoints", [("nowhere", "tcp://127.0.0.1:9"), ("tcp://127.0.0.1:9", "nowhere")])
async def test_an_address_that_is_none(endpoints: tuple[str, str]) -> None:
    with pytest.raises(zmq.ZMQError):
        await Subscriber(*endpoints, Notes()).run()


async def test_a_sink_that_fails_ends_the_subscriber() -> None:
    class Broken(Notes):
        def clear(self) -> None:
            raise RuntimeError("the index is broken")

    with publisher(kept=1) as engine:
        for number in range(3):
            engine.publish([block(number)])
        running = asyncio.create_task(Subscriber(engine.endpoint, engine.replay_endpoint, Broken()).run())
        async with asyncio.timeout(10):
            while not running.done():
                engine.answer()
                await asyncio.sleep(0.01)
        with suppress(BaseExceptionGroup):
            await running
        assert isinstance(running.exception(), ExceptionGroup)
        assert "the index is broken" in str(running.exception().exceptions)  # type: ignore[union-attr]
