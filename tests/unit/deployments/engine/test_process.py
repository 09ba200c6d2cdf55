from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from deployments.engine.process import LOG_TAIL_LINES, EngineError, EngineProcess, free_port
from tests.support.process_table import alive, gone
from tests.support.script_engine import processes_of, spec


def engine(folder: Path, behaviour: str = "", grace_s: float = 5) -> EngineProcess:
    return EngineProcess(spec(behaviour), folder / "logs" / "engine.log", grace_s=grace_s)


async def test_an_engine_starts_is_healthy_and_stops_with_all_its_processes(tmp_path: Path) -> None:
    made = engine(tmp_path, "child", grace_s=0.3)
    assert made.exit_code is None
    await made.start(20)
    try:
        processes = await processes_of(made.url)
        assert len(processes) == 2
        assert all(map(alive, processes))
        async with aiohttp.ClientSession() as session:
            assert await made.healthy(session)
        assert made.exit_code is None
    finally:
        await made.stop()
    assert gone(processes, 1), "the child ignores SIGTERM"
    async with aiohttp.ClientSession() as session:
        assert not await made.healthy(session)
    await made.stop()


async def test_every_start_is_a_new_incarnation(tmp_path: Path) -> None:
    made = engine(tmp_path)
    seen = set()
    for _ in range(2):
        await made.start(20)
        seen.add((made.incarnation, made.url))
        await made.stop()
    assert len({incarnation for incarnation, _ in seen}) == 2


async def test_an_engine_that_ends_at_its_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        await engine(tmp_path, "exits").start(20)
    told = str(raised.value).splitlines()
    assert told[0].startswith("the engine of m ended with code 1; the last lines of ")
    assert str(tmp_path / "logs" / "engine.log") in told[0]
    assert told[-1] == "the reason why it ends"
    assert len(told) == LOG_TAIL_LINES + 1


async def test_an_engine_that_never_gets_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    made = engine(tmp_path, "deaf,stubborn,child", grace_s=0.3)
    starting = asyncio.create_task(made.start(2))
    processes: list[int] = []
    while not processes and not starting.done():
        try:
            processes = await processes_of(made.url)
        except (aiohttp.ClientError, ValueError):
            await asyncio.sleep(0.05)
    with pytest.raises(EngineError, match=r"was not ready within 2 s; raise `readiness_timeout_s`"):
        await starting
    assert len(processes) == 2
    assert gone(processes, 1)


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    made = engine(tmp_path, "deaf")
    starting = asyncio.create_task(made.start(60))
    processes: list[int] = []
    while not processes:
        try:
            processes = await processes_of(made.url)
        except (aiohttp.ClientError, ValueError):
            await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert gone(processes, 1)


async def test_an_engine_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    made = engine(tmp_path, "stubborn", grace_s=0.5)
    await made.start(20)
    processes = await processes_of(made.url)
    started = time.monotonic()
    await made.stop()
    assert 0.4 < time.monotonic() - started < 4
    assert gone(processes, 0.5)


async def test_the_exit_code_of_an_engine_that_was_killed(tmp_path: Path) -> None:
    made = engine(tmp_path)
    await made.start(20)
    (process,) = await processes_of(made.url)
    os.kill(process, signal.SIGKILL)
    for _ in range(200):
        if made.exit_code is not None:
            break
        await asyncio.sleep(0.02)
    assert made.exit_code == 128 + signal.SIGKILL
    await made.stop()


async def test_the_environment_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELD_BACK", "1")
    monkeypatch.setenv("PASSED_ON", "1")
    wanted = spec(environment={"GIVEN": "2"}, removed_environment=frozenset({"HELD_BACK"}))
    made = EngineProcess(wanted, tmp_path / "log")
    await made.start(20)
    try:
        (process,) = await processes_of(made.url)
        told = Path(f"/proc/{process}/environ").read_text().split("\0")  # noqa: ASYNC240  # no disk behind it
    finally:
        await made.stop()
    assert {"GIVEN=2", "PASSED_ON=1", "OWN_HOST=127.0.0.1"} <= set(told)
    assert not any(entry.startswith("HELD_BACK=") for entry in told)


async def test_a_secret_of_the_environment_is_read_where_the_engine_starts(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-a-file\n")
    made = EngineProcess(spec(environment_files={"HF_TOKEN": str(tmp_path / "token")}), tmp_path / "log")
    await made.start(20)
    try:
        (process,) = await processes_of(made.url)
        told = Path(f"/proc/{process}/environ").read_text().split("\0")  # noqa: ASYNC240  # no disk behind it
    finally:
        await made.stop()
    assert "HF_TOKEN=of-a-file" in told


async def test_an_engine_whose_secret_is_missing_is_not_started(tmp_path: Path) -> None:
    made = EngineProcess(spec(environment_files={"HF_TOKEN": str(tmp_path / "missing")}), tmp_path / "log")
    with pytest.raises(EngineError, match=r"HF_TOKEN: .*missing: No such file or directory; `env_files` names it"):
        await made.start(20)


def test_a_log_that_is_not_there_or_is_long(tmp_path: Path) -> None:
    made = EngineProcess(spec(), tmp_path / "log")
    assert made.log_tail().startswith(f"; the last lines of {tmp_path / 'log'}:")
    (tmp_path / "log").write_bytes(b"\xff\n" * 100_000 + b"the end\n")
    assert made.log_tail().endswith("\nthe end")
    assert len(made.log_tail()) < 1000


def test_free_ports_are_free() -> None:
    assert 1024 < free_port("127.0.0.1") < 65_536
