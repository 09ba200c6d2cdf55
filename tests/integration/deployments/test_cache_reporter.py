"""A cache reporter in a process of its own beside a fake engine, under a supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.engine import supervisor as module
from deployments.engine.cache_reporter import process as reporter_process
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.supervisor import Seat, Supervisor
from deployments.kv_cache.report_subscriber import PURPOSE
from tests.support.process_table import descendants, gone
from tests.support.processes import fake_pool, fake_spec, unreported, unwithdrawn

OWNER = """
import subprocess, sys
owned = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(owned.pid, flush=True)
owned.wait()
"""
SECRET, OTHER_SECRET = "a-secret-that-no-process-may-show", "another-secret-that-no-process-may-show"


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[Supervisor]:
    secrets = folder / "secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRET)
    seat = Seat("m@p#1", "m", "p", "cpu", None, 1, 30, "reported", str(secrets))

    made = Supervisor(fake_spec(fake_pool()), seat, folder / "log", "127.0.0.1", unreported, unwithdrawn)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def until(reached: object, timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():  # type: ignore[operator]  # noqa: ASYNC110  # another's state
            await asyncio.sleep(0.02)


def reporters(before: set[int]) -> list[psutil.Process]:
    mine = [psutil.Process(pid) for pid in descendants() - before]
    return [one for one in mine if "deployments.engine.cache_reporter" in one.cmdline()]


async def test_a_reporter_that_dies_is_replaced_and_announced_anew(tmp_path: Path) -> None:
    before = descendants()
    async with supervised(tmp_path) as made:
        assert made.replica_info is not None
        first, incarnation = made.replica_info.cache_reports, made.replica_info.incarnation
        assert first is not None
        (reporter,) = reporters(before)
        reporter.kill()
        await until(lambda: made.replica_info and made.replica_info.cache_reports not in (None, first))
        assert made.replica_info.incarnation == incarnation, "the engine is the same"


async def test_a_removed_secret_opens_no_reporter(tmp_path: Path) -> None:
    async with supervised(tmp_path) as made:
        assert made.replica_info is not None
        first = made.replica_info.cache_reports
        (tmp_path / "secrets").write_text(OTHER_SECRET)
        await until(lambda: made.replica_info and made.replica_info.cache_reports not in (None, first))
        second = made.replica_info.cache_reports
        assert first
        assert second
        assert await is_told(second, OTHER_SECRET)
        assert not await is_told(second, SECRET, 1)
        assert not await is_told(first, SECRET, 1)


async def is_told(address: str, secret: str, within_s: float = 20) -> bool:
    """Whether a reporter publishes to whoever has this secret."""
    reports = client_socket(zmq.SUB)
    try:
        reports.subscribe(b"")
        connect(reports, address, SocketKeys.of(FleetSecrets((secret.encode(),)), PURPOSE))
        async with asyncio.timeout(within_s):
            return bool(await reports.recv())
    except TimeoutError:
        return False
    finally:
        reports.close(linger=0)


async def test_a_reporter_ends_with_its_engine_and_the_next_engine_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOAD_PERIOD_S", 0.05)
    before = descendants()
    async with supervised(tmp_path) as made:
        assert made.replica_info is not None
        first = made.replica_info.incarnation
        (old,) = reporters(before)
        (engine,) = [
            one
            for one in (psutil.Process(pid) for pid in descendants() - before)
            if "deployments.engine.fake" in one.cmdline() and "deployments.engine.guard" not in one.cmdline()
        ]
        engine.kill()
        await until(lambda: made.replica_info and made.replica_info.incarnation != first)
        assert not old.is_running()
        (new,) = reporters(before)
    assert gone({old.pid, new.pid}, 1)


async def test_no_process_shows_the_secret(tmp_path: Path) -> None:
    before = descendants()
    async with supervised(tmp_path) as made:
        assert made.replica_info is not None
        assert SECRET not in json.dumps(made.replica_info.as_dict())
        for pid in descendants() - before:
            one = psutil.Process(pid)
            assert SECRET not in " ".join([*one.cmdline(), *one.environ().values()])
    assert SECRET not in (tmp_path / "log").read_text()


def test_a_reporter_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRET)
    words = [sys.executable, "-m", "deployments.engine.cache_reporter", "--events", f"ipc://{tmp_path}/e"]
    words += ["--replays", f"ipc://{tmp_path}/r", "--host", "127.0.0.1", "--model", "m", "--secrets-file", str(secrets)]
    with subprocess.Popen([sys.executable, "-c", OWNER, *words], stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert "tcp://127.0.0.1:" in json.loads(owner.stdout.readline())["reports"], "it listens"
        os.kill(owner.pid, signal.SIGKILL)
        assert gone({pid}, 10)


async def test_without_secrets_the_replica_serves_and_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = reporter_process.ReporterSettings("ipc://e", "ipc://r", "127.0.0.1", "m", None, "f", "/nowhere/secrets")
    reporting = reporter_process.CacheReporting(settings, tmp_path / "log", lambda _: None)
    caplog.set_level(logging.WARNING, reporter_process.logger.name)  # commands that ran in this process may quieten it
    reporter_process.logger.addHandler(caplog.handler)  # once Serve is imported its logger passes nothing on
    try:
        assert await reporting.start() is None
    finally:
        reporter_process.logger.removeHandler(caplog.handler)
    await reporting.stop()
    assert "secrets file /nowhere/secrets" in caplog.text
