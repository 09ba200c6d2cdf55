"""KV events of a fake engine in a process of its own, as a gateway follows them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import psutil
import pytest

from deployments.engine.backend import EngineFacts, backend
from deployments.engine.fake.kv_blocks import chain_keys
from deployments.kv_cache import replay_protocol as feed
from deployments.kv_cache.events import Cleared, Removed
from deployments.kv_cache.replay_protocol import FeedState
from tests.support.engine_keys import direct_session
from tests.support.kv_follower import Notes, following
from tests.support.processes import fake_engine, fake_pool, fake_spec

SIZE = 16
POOL = fake_pool(block_size=SIZE, kv_blocks=64, decode_step_s=0.0, prefill_tokens_per_s=1e9)

EXACT, DEGRADED = FeedState.EXACT, FeedState.DEGRADED


@pytest.fixture
def engine() -> Iterator[str]:
    with fake_engine(POOL, caches=True) as url:
        yield url


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with direct_session() as made:
        yield made


async def facts_of(session: aiohttp.ClientSession, url: str) -> EngineFacts:
    return await backend("fake").facts(session, url, fake_spec(POOL))


@asynccontextmanager
async def followed(session: aiohttp.ClientSession, url: str) -> AsyncIterator[Notes]:
    facts = await facts_of(session, url)
    assert facts.kv_events is not None
    assert facts.kv_replay is not None
    async with following(facts.kv_events, facts.kv_replay) as notes:
        await notes.until(lambda notes: notes.states[-1:] in ([EXACT], [DEGRADED]))
        yield notes


async def post(session: aiohttp.ClientSession, url: str, body: Any) -> None:
    async with session.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()


async def prompts(session: aiohttp.ClientSession, url: str, first: int, count: int) -> None:
    """Prompts of three blocks each that share nothing, one after the other: each is at least one batch of events."""
    for number in range(first, first + count):
        ids = [number, *range(3 * SIZE)]
        await post(session, f"{url}/v1/completions", {"prompt": ids, "max_tokens": 1})


def told_firsts(notes: Notes) -> list[int]:
    """The prompts whose blocks were told of, in order."""
    return [event.token_ids[0] for event in notes.stored]


async def test_stored_removed_and_cleared_arrive_in_order_once(session: aiohttp.ClientSession, engine: str) -> None:
    async with followed(session, engine) as notes:
        assert notes.states[-1] is EXACT
        await prompts(session, engine, 0, 100)
        await notes.until(lambda notes: len(notes.stored) == 100)
        assert told_firsts(notes) == list(range(100))
        assert any(isinstance(event, Removed) for event in notes.events)
        assert len(notes.blocks) <= POOL.fake.kv_blocks
        assert notes.blocks >= set(chain_keys([99, *range(3 * SIZE)], SIZE))
        await post(session, f"{engine}/reset_prefix_cache", {})
        await notes.until(lambda notes: isinstance(notes.events[-1], Cleared))
        assert (notes.clears, notes.blocks, notes.states[-1]) == (0, set(), EXACT)


async def test_a_gateway_that_starts_later_knows_the_same(session: aiohttp.ClientSession, engine: str) -> None:
    async with followed(session, engine) as first:
        await prompts(session, engine, 0, 50)
        async with followed(session, engine) as second:
            await prompts(session, engine, 50, 10)
            for notes in (first, second):
                await notes.until(lambda notes: len(notes.stored) == 60)
            assert first.events == second.events
            assert second.states[-1] is EXACT


async def test_a_thousand_lost_batches_are_replayed(session: aiohttp.ClientSession, engine: str) -> None:
    async with followed(session, engine) as notes:
        await prompts(session, engine, 0, 5)
        await post(session, f"{engine}/fault", {"drop_events": 1000})
        await asyncio.gather(*(prompts(session, engine, 1000 * (lane + 1), 260) for lane in range(4)))
        await prompts(session, engine, 9000, 1)
        await notes.until(lambda notes: told_firsts(notes)[-1:] == [9000], 30)
        await notes.until_state(EXACT)
        assert len(set(told_firsts(notes))) == len(told_firsts(notes)) == 5 + 4 * 260 + 1
        assert notes.clears == 0
        async with followed(session, engine) as fresh:
            assert fresh.events == notes.events


async def test_a_lost_last_batch_is_found_without_another_one(session: aiohttp.ClientSession, engine: str) -> None:
    async with followed(session, engine) as notes:
        await post(session, f"{engine}/fault", {"drop_events": 1})
        await prompts(session, engine, 0, 1)
        await notes.until(lambda notes: told_firsts(notes) == [0])
        assert (notes.clears, notes.states[-1]) == (0, EXACT)


async def test_what_no_replay_brings_back_degrades_until_a_reset(session: aiohttp.ClientSession, engine: str) -> None:
    async with followed(session, engine) as notes:
        await prompts(session, engine, 0, 5)
        await notes.until(lambda notes: len(notes.stored) == 5)
        await post(session, f"{engine}/fault", {"forget_events": 3})
        await prompts(session, engine, 5, 5)
        await notes.until(lambda notes: told_firsts(notes) == [8, 9])
        await notes.until_state(DEGRADED)
        assert notes.clears == 1
        await post(session, f"{engine}/reset_prefix_cache", {})
        await notes.until_state(EXACT)
    async with followed(session, engine) as late:
        assert late.states[-1] is EXACT, "a later gateway meets the reset in the replay"
        assert late.blocks == set()


async def test_a_killed_engine_is_forgotten_and_its_successor_told_anew(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "ANSWER_TIMEOUT_S", 0.2)
    with killable_engine() as (url, pid):
        async with followed(session, url) as old:
            await prompts(session, url, 0, 5)
            await old.until(lambda notes: len(notes.stored) == 5)
            psutil.Process(pid).send_signal(signal.SIGKILL)
            await old.until_state(DEGRADED)
            assert (old.blocks, old.clears) == (set(), 1)
            with fake_engine(POOL, caches=True) as successor:
                async with followed(session, successor) as new:
                    await prompts(session, successor, 7, 1)
                    await new.until(lambda notes: told_firsts(notes) == [7])
                    assert (new.clears, new.states[-1]) == (0, EXACT)
            assert old.events == []


@contextmanager
def killable_engine() -> Iterator[tuple[str, int]]:
    """Address and process id of a fake engine."""
    before = {child.pid for child in psutil.Process().children()}
    with fake_engine(POOL, caches=True) as url:
        (pid,) = {child.pid for child in psutil.Process().children()} - before
        yield url, pid
