"""The gateway without Ray: its supervisor, its processes, and servers that run already."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cluster.fleet import Fleet
from cluster.open_fleet import open_to_all
from tests.support.front import Engine
from tests.support.process_table import alive
from tests.support.processes import HOST, PROJECT_ROOT, fake_engine, fake_pool
from tests.support.standalone_gateway import BODY, StandaloneGateway, command, fleet_of, fresh, standalone_gateway

PROCESSES = 2
SHORT = """
name: short
gateway: {port: 0}
models:
  - name: m
    task: chat
    checkpoint: nobody/has-this
    pools: [{name: a, vendor: cpu, engine: cpu}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Engine]:
    """A server that is no fleet's."""
    pool = fake_pool("a", decode_step_s=0.002)
    with fake_engine(pool, keyless=True) as url:
        yield Engine(url, pool)


@pytest.fixture(scope="module")
def shared(server: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneGateway]:
    """Two processes over one engine; tests may kill the processes."""
    engine = server
    folder = tmp_path_factory.mktemp("standalone")
    with standalone_gateway(fleet_of(engine, processes=PROCESSES), [f"a={engine.url}"], folder) as gateway:
        yield gateway


async def counted(gateway: StandaloneGateway) -> dict[str, float]:
    """Answers by process, from one page."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    samples = [sample for sample in families["gateway_requests"].samples if sample.name.endswith("_total")]
    return {sample.labels["process"]: sample.value for sample in samples}


@pytest.mark.parametrize(("host", "warns"), [("0.0.0.0", True), (HOST, False)])
def test_a_gateway_that_other_machines_reach_without_tenants_warns_in_one_line(
    server: Engine, tmp_path: Path, host: str, warns: bool
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet_of(server, host=host).model_dump(mode="json")))
    started = subprocess.Popen(
        command(file, [f"a={server.url}"]), cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline().startswith(f"listening on http://{host}:")
    started.terminate()
    _, errors = started.communicate(timeout=60)
    assert [line for line in errors.splitlines() if line.startswith("warning: fleet 'fakes' has no tenants")] == (
        [open_to_all(fleet_of(server, host=host))] if warns else []
    )


async def test_one_page_holds_the_metrics_of_all_processes(shared: StandaloneGateway) -> None:
    before, answered = sum((await counted(shared)).values()), 0
    async with asyncio.timeout(60):
        while len(await counted(shared)) < PROCESSES or not answered:  # the kernel chooses who accepts
            assert await asyncio.gather(*[fresh(shared) for _ in range(20)]) == [200] * 20
            answered += 20
    async with asyncio.timeout(20):  # a request is counted just after its client has the answer
        while sum((await counted(shared)).values()) - before != answered:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)


async def test_sigterm_ends_it_after_the_stream_in_flight(server: Engine, tmp_path: Path) -> None:
    with standalone_gateway(fleet_of(server), [f"a={server.url}"], tmp_path) as gateway:
        async with aiohttp.ClientSession() as session:
            body = {**BODY, "max_tokens": 500, "stream": True}
            async with session.post(f"{gateway.url}/v1/completions", json=body) as answer:
                await answer.content.readany()
                ending = asyncio.create_task(asyncio.to_thread(gateway.end))
                content = await answer.read()
            assert content.endswith(b"data: [DONE]\n\n")
        assert await ending == 0


async def test_second_signal_ends_it_at_once(server: Engine, tmp_path: Path) -> None:
    with standalone_gateway(fleet_of(server), [f"a={server.url}"], tmp_path) as gateway:
        async with aiohttp.ClientSession() as session:
            body = {**BODY, "max_tokens": 30_000, "stream": True}
            async with session.post(f"{gateway.url}/v1/completions", json=body) as answer:
                await answer.content.readany()
                pids = [gateway.reserve_pid(), *gateway.serving_pids()]
                os.kill(gateway.process.pid, signal.SIGINT)
                await asyncio.sleep(0.5)
                assert gateway.process.poll() is None
                assert await asyncio.to_thread(gateway.end, signal.SIGINT, 30) == 0
        assert not any(map(alive, pids))


async def test_processes_end_with_a_supervisor_that_is_killed(server: Engine, tmp_path: Path) -> None:
    with standalone_gateway(fleet_of(server), [f"a={server.url}"], tmp_path) as gateway:
        pids = [gateway.reserve_pid(), *gateway.serving_pids()]
        gateway.process.kill()
        gateway.process.wait(10)
        async with asyncio.timeout(20):
            while any(map(alive, pids)):  # noqa: ASYNC110  # other processes
                await asyncio.sleep(0.05)


async def test_server_that_has_only_completion_routes_works_behind_it(tmp_path: Path) -> None:
    async def completions(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response({"choices": [{"text": "four"}], "usage": {"total_tokens": 2}})

    app = aiohttp.web.Application()
    app.router.add_post("/v1/completions", completions)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, HOST, 0).start()
    file = tmp_path / "short.yaml"
    file.write_text(SHORT)
    fleet = Fleet.model_validate(yaml.safe_load(SHORT))
    try:
        with standalone_gateway(fleet, [f"a=http://{HOST}:{runner.addresses[0][1]}/v1"], tmp_path) as gateway:
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{gateway.url}/v1/completions", json=BODY) as answer:
                    assert (await answer.json())["choices"][0]["text"] == "four"
                async with asyncio.timeout(20):
                    while (await session.get(f"{gateway.url}/ready")).status != 200:  # noqa: ASYNC110  # another process
                        await asyncio.sleep(0.05)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        ("a", "not POOL=URL"),
        ("a=127.0.0.1:8000", "not POOL=URL"),
        ("b=http://127.0.0.1:1", "fits no pool; write one of m@a"),
        ("x@a=http://127.0.0.1:1", "fits no pool"),
    ],
)
def test_replica_that_fits_no_pool_is_a_usage_error(tmp_path: Path, replica: str, words: str) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SHORT)
    ended = subprocess.run(command(file, [replica]), cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_taken_port_ends_it_with_one_line(shared: StandaloneGateway, tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SHORT.replace("port: 0", f"port: {shared.port}"))
    ended = subprocess.run(
        command(file, ["a=http://127.0.0.1:1"]), cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{shared.port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_missing_key_file_ends_it_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SHORT + f"tenants: [{{name: us, key_file: {tmp_path}/missing}}]\n")
    ended = subprocess.run(
        command(file, ["a=http://127.0.0.1:1"]), cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "missing: No such file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_cache_folder_that_cannot_be_used_ends_it_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SHORT)
    ended = subprocess.run(
        command(file, ["a=http://127.0.0.1:1"]),
        cwd=PROJECT_ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot be made: Not a directory" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", ["supervision.supervisor_process", "process", "standalone"])
def test_neither_supervisor_nor_processes_import_ray(module: str) -> None:
    code = (
        f"import sys, json, deployments.gateway.{module}; print(json.dumps([n for n in sys.modules if '.' not in n]))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT_ROOT))
    assert "aiohttp" in loaded
    assert not {"ray", "torch", "vllm", "transformers"} & set(loaded)
