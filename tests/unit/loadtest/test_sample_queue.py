from __future__ import annotations

import asyncio

import numpy as np
import pytest

from loadtest import sample_queue
from loadtest.sample_queue import Bodies, QueueServer

EMPTY = Bodies([], *(np.array([], np.int64) for _ in range(3)))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> QueueServer:
    monkeypatch.setattr(sample_queue, "WAIT_S", 0.05)
    return QueueServer(EMPTY)


async def test_a_waiting_puller_gets_what_is_put(server: QueueServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_queue, "WAIT_S", 5)
    waiting = asyncio.create_task(server.take("a", 2))
    await asyncio.sleep(0.01)
    await server.put([(0, 3), (1, 4), (2, 5)])
    assert await asyncio.wait_for(waiting, 1) == [(0, 3), (1, 4)]


async def test_an_empty_queue_answers_in_time_to_renew_leases(server: QueueServer) -> None:
    assert await asyncio.wait_for(server.take("a", 2), 1) == []


async def test_pullers_go_home_when_all_is_confirmed_and_not_before(server: QueueServer) -> None:
    await server.put([(0, 3)])
    await server.take("a", 1)
    await server.close()
    assert await server.take("b", 1) == []
    await server.confirm([0])
    assert await server.take("a", 1) is None
    assert await server.take("b", 0) is None


async def test_abort_wakes_and_sends_home(server: QueueServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_queue, "WAIT_S", 5)
    waiting = asyncio.create_task(server.take("a", 1))
    await asyncio.sleep(0.01)
    await server.abort()
    assert await asyncio.wait_for(waiting, 1) is None


async def test_holders_are_counted(server: QueueServer) -> None:
    await asyncio.gather(server.take("a", 0), server.take("b", 0), server.take("a", 0))
    assert await server.holders() == 2
