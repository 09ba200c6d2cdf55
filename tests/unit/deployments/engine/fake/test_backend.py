from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec, backend
from deployments.engine.fake import FakeBackend
from deployments.engine.process import PROJECT_ROOT
from tests.support.engine_keys import direct_session, engine_environment


def spec(task: str = "chat", caches: bool = True, **speed: Any) -> EngineSpec:
    return EngineSpec(("m",), task, "none", "fake", "fake", slots=2, caches=caches, fake=speed)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def started(wanted: EngineSpec, folder: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A fake engine's process, started in another folder, once it is ready."""
    fake, port = FakeBackend(), free_port()
    environment = {**engine_environment(), "PYTHONPATH": str(PROJECT_ROOT)}
    process = await asyncio.create_subprocess_exec(
        *fake.command(wanted, "127.0.0.1", port), env=environment, cwd=folder, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with direct_session() as session:
            await ready(session, url, process)
        yield url, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    for _ in range(1000):
        if await answers(session, url):
            return
        assert process.returncode is None, "the engine died at its start"
        await asyncio.sleep(0.02)
    raise AssertionError("the engine did not start")


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def test_the_backend_is_found_by_its_name() -> None:
    assert isinstance(backend("fake"), FakeBackend)


async def test_a_process_tells_its_facts_and_load_and_stops_at_sigterm(tmp_path: Path) -> None:
    wanted = spec(kv_blocks=50, block_size=8, decode_step_s=0.5)
    async with started(wanted, tmp_path) as (url, process), direct_session() as session:
        facts = await FakeBackend().facts(session, url, wanted)
        addresses = (facts.kv_events, facts.kv_replay)
        assert facts == EngineFacts(facts.version, 8, 50, 400, True, *addresses, renderer="fake")
        assert all(address and address.startswith("ipc:///") for address in addresses)
        folders = {Path(str(address).removeprefix("ipc://")).parent for address in addresses}
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}, "for its own user alone"
        assert len(set(addresses)) == 2
        assert await FakeBackend().load(session, url) == EngineLoad()
        body = {"prompt": ["a", "b", "c"], "stream": True}
        async with session.post(f"{url}/v1/completions", json=body):
            load = await FakeBackend().load(session, url)
            assert (load.running, load.waiting) == (2, 1)
            assert load.kv_use == pytest.approx(2 / 50)
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            assert time.monotonic() - start < 5


async def broken_stream(session: aiohttp.ClientSession, url: str) -> str:
    received = ""
    with suppress(aiohttp.ClientError):
        async with session.post(f"{url}/v1/completions", json={"prompt": "a", "stream": True}) as response:
            while data := await response.content.readany():
                received += data.decode()
            raise AssertionError("the stream ended in order")
    return received


@pytest.mark.parametrize("tokens", [0, 3])
async def test_die_kills_the_process_after_the_tokens_it_sent(tmp_path: Path, tokens: int) -> None:
    wanted = spec(decode_step_s=0)
    async with started(wanted, tmp_path) as (url, process), direct_session() as session:
        async with session.post(f"{url}/fault", json={"die_after_tokens": tokens}) as response:
            assert response.status == 200
        received = await broken_stream(session, url)
        assert received.count('"text":') == tokens
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL


@pytest.mark.parametrize(("task", "caches", "block_size"), [("transcription", True, 16), ("chat", False, 16)])
async def test_facts_of_engines_that_reuse_nothing(serve: Any, task: str, caches: bool, block_size: int | None) -> None:
    engine = await serve(task=task, caches=caches)
    async with aiohttp.ClientSession() as session:
        facts = await FakeBackend().facts(session, str(engine.client.make_url("")).rstrip("/"), spec(task, caches))
    assert facts.block_size == block_size
    assert not facts.caches


def test_a_bad_config_ends_the_process_with_a_reason(tmp_path: Path) -> None:
    command = FakeBackend().command(spec(), "127.0.0.1", free_port())
    config = json.loads(command[-1])
    command[-1] = json.dumps(config | {"slots": 0})
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert b"--config is not valid" in ended.stderr
    assert b"slots" in ended.stderr
