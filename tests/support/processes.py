"""Fake engines and a gateway as processes of their own, without Ray: what benches and integration tests build on."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.fleet import FakeEngine, Fleet, Gateway, Model, Pool, Task
from deployments.engine.backend import EngineSpec, backend
from deployments.engine.process import PROJECT_ROOT, free_port
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import engine_environment, engine_keys, secrets_file, with_secrets

HOST = "127.0.0.1"


def fake_pool(name: str = "a", slots: int = 64, vendor: str = "cpu", **fake: Any) -> Pool:
    return Pool(
        name=name,
        vendor=vendor,
        engine="fake",
        cpus_per_replica=0,
        slots=slots,
        fake=FakeEngine(**fake),
        drain_timeout_s=5,
    )


def fake_fleet(*pools: Pool, task: Task = Task.CHAT, mlperf: bool = False, **gateway: Any) -> Fleet:
    """One model, `m` alias `alias`, in the given pools, behind a gateway on a port that the OS chooses."""
    model = Model(name="m", aliases=["alias"], task=task, checkpoint="virtual", pools=list(pools or (fake_pool(),)))
    return Fleet(name="fakes", mlperf=mlperf, gateway=Gateway(**{"port": 0, **gateway}), models=[model])


def fake_spec(pool: Pool, task: Task = Task.CHAT, caches: bool = True, **changes: Any) -> EngineSpec:
    spec = EngineSpec(
        names=("m", "alias"),
        task=task.value,
        checkpoint="virtual",
        engine="fake",
        backend="fake",
        slots=pool.slots,
        caches=caches,
        fake=pool.fake.model_dump(),
        secrets_file=str(secrets_file()),
    )
    return replace(spec, **changes)


def replica_info(url: str, pool: Pool, model: str = "m", task: Task = Task.CHAT, **changes: Any) -> ReplicaInfo:
    """What a replica at `url` would announce."""
    fields: dict[str, Any] = {
        "replica": f"{model}@{pool.name}#{url.rsplit(':', 1)[-1]}",
        "incarnation": url,
        "url": url,
        "model": model,
        "aliases": ("alias",),
        "task": task.value,
        "pool": pool.name,
        "vendor": pool.vendor,
        "engine": pool.engine,
        "engine_version": "fake",
        "accelerator": None,
        "tensor_parallel": 1,
        "slots": pool.slots,
        "checkpoint": "virtual",
        "revision": None,
        "block_size": 16,
        "kv_blocks": 8192,
        "max_model_len": 131_072,
        "caches": False,
        "cache_reports": None,
        "cache_snapshots": None,
        "renderer": "" if task is Task.TRANSCRIPTION else "fake",
    }
    return ReplicaInfo(**{**fields, **changes})


def unreported(*_: object) -> bool:
    """For a supervisor of an engine without a registry: its reports."""
    return True


async def unwithdrawn(_: str) -> None:
    """And its withdrawals."""


@contextmanager
def process(command: Sequence[str], ready_url: str, timeout_s: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command until the block ends; enters it once `ready_url` answers."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=engine_environment(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + timeout_s
            while not _answers(ready_url):
                if started.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{command[:4]} is not ready: {log.read().decode(errors='replace')[-3000:]}")
                time.sleep(0.05)
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=engine_keys().headers(url)), timeout=2
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def fake_engine(pool: Pool, task: Task = Task.CHAT, caches: bool = False, keyless: bool = False) -> Iterator[str]:
    """A fake engine's address. One that is `keyless` stands for a server that is no fleet's."""
    port = free_port(HOST)
    command = backend("fake").command(fake_spec(pool, task, caches), HOST, port)
    command += ["--keyless"] if keyless else []
    with process(command, f"http://{HOST}:{port}/health"):
        yield f"http://{HOST}:{port}"


def stats(engine: str) -> dict[str, Any]:
    """What the fake engine at this address has counted."""
    request = urllib.request.Request(f"{engine}/stats", headers=engine_keys().headers(engine))
    with urllib.request.urlopen(request, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def fault(engine: str, **fault: Any) -> None:
    """What the fake engine at this address is to do wrong from now on."""
    headers = {"Content-Type": "application/json", **engine_keys().headers(engine)}
    request = urllib.request.Request(f"{engine}/fault", json.dumps(fault).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


@contextmanager
def gateway(fleet: Fleet, replica_infos: Sequence[ReplicaInfo]) -> Iterator[tuple[str, int]]:
    """The address and process id of a gateway over replicas that do not change."""
    port = free_port(HOST)
    fleet = with_secrets(fleet.model_copy(update={"gateway": fleet.gateway.model_copy(update={"port": port})}))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.json"
        replicas = [a.as_dict() for a in replica_infos]
        file.write_text(json.dumps({"fleet": fleet.model_dump(mode="json"), "replicas": replicas}))
        command = [sys.executable, "-m", "tests.support.gateway_process", str(file)]
        with process(command, f"http://{HOST}:{port}/ready") as running:
            yield f"http://{HOST}:{port}", running.pid
