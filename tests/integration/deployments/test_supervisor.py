"""A real supervisor over engines that die, hang and misbehave, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cluster.fleet_secrets import provide_secrets
from deployments.engine import process
from deployments.engine import supervisor as module
from deployments.engine.backend import BACKENDS, EngineLoad, EngineSpec
from deployments.engine.process import EngineError
from deployments.engine.supervisor import Seat, Supervisor
from deployments.replica_info import ReplicaInfo
from tests.support.process_table import gone
from tests.support.processes import fake_pool, fake_spec
from tests.support.script_engine import processes_of, spec

SEAT = Seat("m@p#1", "m", "p", "amd", "mi350x", drain_timeout_s=3, readiness_timeout_s=20, fleet="supervised")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "script", "tests.support.script_engine:ScriptBackend")
    monkeypatch.setattr(process, "POLL_S", 0.03)
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(module, "LOAD_PERIOD_S", 0.05)
    monkeypatch.setattr(module, "SETTLE_S", 0.1)


class Registry:
    """Notes what is reported; `broken` makes it take nothing."""

    def __init__(self) -> None:
        self.reports: list[tuple[ReplicaInfo, EngineLoad]] = []
        self.withdrawn: list[str] = []
        self.broken = False

    def report(self, info: ReplicaInfo, load: EngineLoad) -> bool:
        if not self.broken:
            self.reports.append((info, load))
        return not self.broken

    async def withdraw(self, incarnation: str) -> None:
        if self.broken:
            raise TimeoutError
        self.withdrawn.append(incarnation)

    @property
    def incarnations(self) -> list[str]:
        return list(dict.fromkeys(info.incarnation for info, _ in self.reports))


@asynccontextmanager
async def supervised(wanted: EngineSpec, folder: Path) -> AsyncIterator[tuple[Supervisor, Registry]]:
    provide_secrets(SEAT.fleet, None)
    registry = Registry()
    made = Supervisor(wanted, SEAT, folder / "log", "127.0.0.1", registry.report, registry.withdraw)
    made.engine.grace_s = 0.5
    await made.start()
    try:
        yield made, registry
    finally:
        await made.stop()


async def until(reached: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():  # noqa: ASYNC110  # another's state
            await asyncio.sleep(0.01)


async def test_a_replica_announces_its_seat_its_engine_and_what_the_engine_tells(tmp_path: Path) -> None:
    async with supervised(spec(tensor_parallel=2, revision="r"), tmp_path) as (made, registry):
        # Its cache reporter may need a second try on a busy machine; the replica is announced without it until then.
        await until(lambda: bool(registry.reports) and registry.reports[-1][0].cache_reports is not None, 60)
        told = registry.reports[-1][0]
        assert told == made.replica_info
        assert (told.replica, told.model, told.pool, told.vendor, told.accelerator) == (
            "m@p#1",
            "m",
            "p",
            "amd",
            "mi350x",
        )
        assert (told.tensor_parallel, told.revision, told.block_size, told.kv_blocks) == (2, "r", 16, 9)
        for address in (told.cache_reports, told.cache_snapshots):
            assert str(address).startswith("tcp://127.0.0.1:")
        assert "host" not in str(told), "where the engine's own events are is nobody's business"
        assert (told.incarnation, told.url, told.caches) == (made.engine.incarnation, made.engine.url, True)
    assert registry.withdrawn == [told.incarnation]


async def test_an_idle_replica_sends_few_reports(tmp_path: Path) -> None:
    async with supervised(spec(), tmp_path) as (_, registry):
        await until(lambda: bool(registry.reports))
        await asyncio.sleep(0.5)
        assert len(registry.reports) == 1


async def test_an_engine_that_dies_comes_back_as_a_new_incarnation(tmp_path: Path) -> None:
    async with supervised(spec("child"), tmp_path) as (made, registry):
        first, processes = made.engine.incarnation, await processes_of(made.engine.url)
        await until(lambda: bool(registry.reports))
        os.kill(processes[0], signal.SIGKILL)
        await until(lambda: len(registry.incarnations) == 2)
        assert registry.withdrawn == [first]
        assert registry.incarnations == [first, made.engine.incarnation]
        assert made.failure is None
        assert gone(processes, 1), "nothing of the old engine is left"


async def test_an_engine_that_hangs_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANG_S", 1.0)  # shorter than a busy machine holds up its successor it must not be
    async with supervised(spec(), tmp_path) as (made, registry):
        await until(lambda: bool(registry.reports))
        (pid,) = await processes_of(made.engine.url)
        assert made._session is not None
        made._session._timeout = made._session.timeout.__class__(total=1.0)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: len(registry.incarnations) == 2)
        assert gone([pid], 1)


async def test_an_engine_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async with supervised(spec("brief"), tmp_path) as (made, registry):
        await until(lambda: made.failure is not None, 60)
        assert "ended with code 7, after 3 starts within 600 s" in str(made.failure)
        assert made.replica_info is None
        assert len(registry.withdrawn) == 3


async def test_an_engine_that_does_not_come_back_is_given_up(tmp_path: Path) -> None:
    async with supervised(spec(), tmp_path) as (made, _):
        made.engine.spec = spec("mute")
        os.kill((await processes_of(made.engine.url))[0], signal.SIGKILL)
        await until(lambda: made.failure is not None)
        assert "does not tell what it is" in str(made.failure)
        assert made.replica_info is None


@pytest.mark.parametrize("behaviour", ["exits", "mute"])
async def test_an_engine_that_cannot_start_leaves_nothing(tmp_path: Path, behaviour: str) -> None:
    registry = Registry()
    made = Supervisor(spec(behaviour), SEAT, tmp_path / "log", "127.0.0.1", registry.report, registry.withdraw)
    with pytest.raises(EngineError):
        await made.start()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", int(made.engine.url.rsplit(":", 1)[1]))
    await made.stop()
    assert registry.reports == []


async def test_a_report_that_could_not_be_sent_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_HEARTBEAT_S", 0.05)
    registry = Registry()
    registry.broken = True
    made = Supervisor(spec(), SEAT, tmp_path / "log", "127.0.0.1", registry.report, registry.withdraw)
    await made.start()
    await asyncio.sleep(0.2)
    registry.broken = False
    await until(lambda: bool(registry.reports))
    registry.broken = True
    await made.stop()


async def test_leaving_waits_for_the_requests_that_run(tmp_path: Path) -> None:
    wanted = fake_spec(fake_pool(decode_step_s=0.05))
    async with supervised(wanted, tmp_path) as (made, registry):
        assert made._session is not None
        body = {"model": "m", "prompt": "x", "max_tokens": 20}
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(made._session.post(f"{made.engine.url}/v1/completions", json=body))
            await until(lambda: bool(registry.reports) and registry.reports[-1][1].running == 1)
            started = time.monotonic()
            group.create_task(made.stop())
            await until(lambda: bool(registry.withdrawn), 1)
        assert (await asking).status == 200
        assert time.monotonic() - started > 0.5
