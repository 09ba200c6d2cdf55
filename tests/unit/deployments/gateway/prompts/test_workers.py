from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from deployments.gateway.prompts import workers
from deployments.gateway.prompts.workers import Busy, Workers


@pytest.fixture
def pool() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


async def test_jobs_run_in_other_threads_and_raise_what_they_raise(pool: Workers) -> None:
    assert await pool.run(threading.get_ident) != threading.get_ident()
    assert await pool.offer(lambda: 3, within_s=30) == 3
    with pytest.raises(ZeroDivisionError):
        await pool.offer(lambda: 1 // 0, within_s=30)


async def test_a_late_job_is_left_and_counts_until_it_ends(pool: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MOST_WAITING", 1)
    go_on = threading.Event()
    try:
        with pytest.raises(Busy, match="longer"):
            await pool.offer(go_on.wait, within_s=0.01)
        with pytest.raises(Busy, match="too many"):
            await pool.offer(lambda: None, within_s=30)
    finally:
        go_on.set()
    async with asyncio.timeout(30):
        while True:
            try:
                return await pool.offer(lambda: None, within_s=30)
            except Busy:
                await asyncio.sleep(0.01)
