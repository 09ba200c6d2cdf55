"""Preparation workers are killed at their limits, and whatever a job does, the next one finds a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from deployments.gateway.preparation.workers import pool as pool_module
from deployments.gateway.preparation.workers.pool import JobFailed, PoolBusy, PreparationPool
from tests.support.process_table import gone

TEMPLATE = "tests.support.preparation_template"
"""The template with jobs that crash, hang and use too much."""


@pytest.fixture(scope="module")
def pool() -> Iterator[PreparationPool]:
    """One for all tests, because a template takes a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "TEMPLATE", TEMPLATE)
        made = PreparationPool(size=2)
        yield made
        asyncio.run(made.close())


async def test_jobs_run_in_workers_that_are_used_again(pool: PreparationPool) -> None:
    pids = {await pool.run("pid") for _ in range(5)}
    assert len(pids) == 1, "one after the other"
    assert os.getpid() not in pids


async def test_a_job_reads_the_callers_open_files(pool: PreparationPool) -> None:
    file = os.memfd_create("body")
    os.write(file, b"hello")
    for _ in range(3):
        assert await pool.run("length", [file]) == 5
    os.close(file)


async def test_a_job_that_raises_says_what_and_its_worker_goes_on(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    with pytest.raises(JobFailed, match="ValueError: it is broken"):
        await pool.run("raise")
    assert await pool.run("pid") == pid


async def test_a_worker_that_crashes_is_replaced(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    with pytest.raises(JobFailed, match="crashed"):
        await pool.run("crash")
    assert await pool.run("pid") != pid


async def test_a_job_is_killed_at_its_limit_of_cpu_even_inside_c_code(pool: PreparationPool) -> None:
    with pytest.raises(JobFailed, match=r"more than 0\.2 s of CPU"):
        await pool.run("big_power", cpu_s=0.2)
    assert await pool.run("pid")


async def test_a_job_that_waits_for_ever_is_killed(pool: PreparationPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = await pool.run("pid")
    monkeypatch.setattr(pool_module, "WALL_S", 0.2)
    with pytest.raises(JobFailed, match="not read within"):
        await pool.run("hang")
    assert gone({pid}, within_s=5)


async def test_a_job_gets_no_more_memory_than_its_limit(pool: PreparationPool) -> None:
    with pytest.raises(JobFailed, match="MemoryError"):
        await pool.run("eat")


async def test_a_caller_that_leaves_ends_its_job(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    hanging = asyncio.create_task(pool.run("hang"))
    await asyncio.sleep(0.1)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert gone({pid}, within_s=5)
    assert await pool.run("pid") != pid


async def test_one_tenants_jobs_do_not_keep_anothers_waiting(pool: PreparationPool) -> None:
    order: list[str] = []

    async def job(tenant: str) -> None:
        await pool.run("nap", tenant=tenant)
        order.append(tenant)

    await asyncio.gather(*(job("greedy") for _ in range(20)), job("modest"))
    assert order.index("modest") <= 4, "two ran already, and of the next two one is the modest tenant's"


async def test_more_jobs_than_may_wait_are_refused(pool: PreparationPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MOST_WAITING", 3)
    results = await asyncio.gather(*(pool.run("nap") for _ in range(7)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 5 + [PoolBusy] * 2


async def test_waiting_jobs_that_are_cancelled_leave_their_turn_to_others(pool: PreparationPool) -> None:
    jobs = [asyncio.create_task(pool.run("nap")) for _ in range(6)]
    await asyncio.sleep(0.05)
    for job in jobs[2:5]:
        job.cancel()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [False] * 2 + [True] * 3 + [False]
    assert await asyncio.gather(*(pool.run("nap") for _ in range(2))) == [None, None]


async def test_the_event_loop_stands_for_no_job(pool: PreparationPool) -> None:
    await pool.run("pid")
    stood, job = 0.0, asyncio.create_task(pool.run("big_power", cpu_s=0.3))
    while not job.done():
        before = time.thread_time()
        await asyncio.sleep(0.001)
        stood = max(stood, time.thread_time() - before)
    with pytest.raises(JobFailed):
        await job
    assert stood < 0.1


async def test_no_job_meets_a_worker_that_was_killed_while_it_was_idle(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    os.kill(pid, signal.SIGKILL)
    assert gone({pid}, within_s=5)
    assert await pool.run("pid") != pid


async def test_workers_end_with_their_template_and_another_one_is_started(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    assert gone({pid}, within_s=5)
    assert await pool.run("pid") != pid


async def test_a_caller_that_leaves_while_its_worker_starts_mixes_up_no_answers(pool: PreparationPool) -> None:
    pid = await pool.run("pid")
    template = psutil.Process(pid).ppid()
    await asyncio.gather(*(pool.run("nap") for _ in range(2)))  # all workers have been started
    for worker in pool._idle:
        os.kill(worker.pid, signal.SIGKILL)
    assert gone({worker.pid for worker in pool._idle}, within_s=5)
    leaving = asyncio.create_task(pool.run("pid"))
    await asyncio.sleep(0)
    os.kill(template, signal.SIGSTOP)
    await asyncio.sleep(0.1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    os.kill(template, signal.SIGCONT)
    pids = {await pool.run("pid") for _ in range(3)}
    assert pids <= {worker.pid for worker in pool._idle}
    assert psutil.Process(pids.pop()).ppid() == template


async def test_closing_ends_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "TEMPLATE", "deployments.gateway.preparation.workers.template")
    others = _templates_and_workers()
    pool = PreparationPool(size=2)
    await asyncio.gather(*(pool.run("audio_seconds", [_empty_file()]) for _ in range(2)), return_exceptions=True)
    children = _templates_and_workers() - others
    assert len(children) == 3
    await pool.close()
    assert gone(children, within_s=5)


def _templates_and_workers() -> set[int]:
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if "deployments.gateway.preparation.workers.template" in child.cmdline()}


def _empty_file() -> int:
    return os.memfd_create("empty")
