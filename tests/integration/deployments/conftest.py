from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from cluster.fleet import Task
from tests.support.front import Engine, Front, front
from tests.support.processes import fake_engine, fake_fleet, fake_pool


@pytest.fixture(scope="session")
def text_engines() -> Iterator[tuple[Engine, Engine]]:
    """Two fakes of one model, in a pool tagged nvidia and one tagged amd."""
    a, b = fake_pool("a", vendor="nvidia", decode_step_s=0.002), fake_pool("b", vendor="amd", decode_step_s=0.002)
    with fake_engine(a) as one, fake_engine(b) as two:
        yield Engine(one, a), Engine(two, b)


@pytest.fixture(scope="session")
def speech_engine() -> Iterator[Engine]:
    pool = fake_pool("s", audio_seconds_per_s=1e6, decode_step_s=0.002)
    with fake_engine(pool, Task.TRANSCRIPTION) as url:
        yield Engine(url, pool, Task.TRANSCRIPTION)


@pytest.fixture
async def engines(text_engines: tuple[Engine, Engine]) -> AsyncIterator[tuple[Engine, Engine]]:
    """The two, without a fault before and without work after."""
    for engine in text_engines:
        await engine.reset()
    yield text_engines
    for engine in text_engines:
        await engine.reset()
        stats = await engine.until(running=0, waiting=0, blocks_in_use=0)
        assert stats["accepted"] == stats["finished"] + stats["aborted"]


@pytest.fixture
async def two(engines: tuple[Engine, Engine]) -> AsyncIterator[Front]:
    """A gateway over both."""
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool), [a.announced(), b.announced()]) as made:
        yield made


@pytest.fixture
async def speech(speech_engine: Engine) -> AsyncIterator[Front]:
    """A gateway over the speech engine."""
    await speech_engine.reset()
    fleet = fake_fleet(speech_engine.pool, task=Task.TRANSCRIPTION)
    async with front(fleet, [speech_engine.announced()]) as made:
        yield made
    await speech_engine.until(running=0, waiting=0, blocks_in_use=0)
