from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from cluster.fleet import FakeEngine
from deployments.engine.fake.batch import Batch, Sequence
from deployments.engine.fake.faults import FaultRequest, Faults
from deployments.engine.fake.kv_blocks import KvBlocks
from deployments.engine.fake.scheduler import Scheduler


@asynccontextmanager
async def running(faults: Faults | None = None, **speed: float) -> AsyncIterator[Scheduler]:
    settings = FakeEngine.model_validate({"prefill_tokens_per_s": 1e9, **speed})
    scheduler = Scheduler(Batch(settings, 8, KvBlocks(256, 16)), faults or Faults())
    task = asyncio.create_task(scheduler.run())
    yield scheduler
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def answered(scheduler: Scheduler, tokens: int) -> float:
    """Seconds until a sequence has that many tokens."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    sequence = Sequence([1], tokens)
    scheduler.submit(sequence)
    await sequence.changed.wait()
    assert sequence.new_tokens == tokens
    return loop.time() - start


async def test_many_short_steps_do_not_drift() -> None:
    async with running(decode_step_s=0.0015) as scheduler:
        elapsed = await answered(scheduler, 200)
    assert 0.295 <= elapsed < 0.45


async def test_a_slow_engine_takes_its_factor_longer() -> None:
    faults = Faults()
    faults.set(FaultRequest(slow=4))
    async with running(faults, decode_step_s=0.01) as scheduler:
        assert await answered(scheduler, 5) >= 0.2 - 0.002


async def test_without_step_times_a_token_takes_no_time_to_speak_of() -> None:
    async with running(decode_step_s=0) as scheduler:
        times = sorted([await answered(scheduler, 1) for _ in range(50)])
    assert times[25] < 0.003


async def test_a_hanging_engine_ends_no_step_and_goes_on_after() -> None:
    faults = Faults()
    async with running(faults, decode_step_s=0.005) as scheduler:
        sequence = Sequence([1], 3, streams=True)
        scheduler.submit(sequence)
        await sequence.changed.wait()
        faults.set(FaultRequest(hang=True))
        seen = sequence.new_tokens
        await asyncio.sleep(0.05)
        assert sequence.new_tokens == seen
        faults.set(FaultRequest(hang=False))
        async with asyncio.timeout(2):
            while not sequence.finish_reason:
                sequence.changed.clear()
                await sequence.changed.wait()


async def test_an_idle_engine_takes_no_steps() -> None:
    async with running(decode_step_s=0) as scheduler:
        await answered(scheduler, 2)
        await asyncio.sleep(0.02)
        assert scheduler.batch.counters.steps == 2


async def test_a_loop_that_failed_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with running(decode_step_s=0) as scheduler:
        sequence = Sequence([1], 1)
        scheduler.submit(sequence)
        sequence.answer = None
        await asyncio.sleep(0.02)
        assert scheduler.failed
    assert "the engine's loop has failed" in caplog.text
