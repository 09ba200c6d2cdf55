"""Real vLLM engines on one core each, announced as the fleet announces them, for benches without Ray."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cluster.checkpoints import resolve
from cluster.fleet import Fleet, Gateway, Model, Pool, Task
from cluster.vendors import ENGINE_KINDS
from deployments.engine.backend import EngineSpec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.supervisor import Seat, Supervisor
from deployments.engine.vllm.backend import ACCESS, VllmBackend
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import secrets_file
from tests.support.processes import HOST, unreported, unwithdrawn

FLEET = "real"
START_TIMEOUT_S = 300


def dtype_of_cpu() -> str:
    """The faster of the two that vLLM's CPU build computes in: without bfloat16 instructions it emulates them."""
    return "bfloat16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "float32"


ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
FLAGS = {"dtype": dtype_of_cpu(), "enforce-eager": True, "distributed-executor-backend": "uni"}


class BenchedVllm(VllmBackend):
    """vLLM whose every process and thread stays on one core, or that answers anyone: other proxies know no key."""

    def __init__(self, core: int | None, keyless: bool) -> None:
        self.core, self.keyless = core, keyless

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        words = super().command(spec, host, port)
        if self.keyless:
            place = words.index(ACCESS)
            del words[place - 1 : place + 1]
        return words if self.core is None else ["taskset", "--cpu-list", str(self.core), *words]


@dataclass(frozen=True)
class RealEngine:
    """A running engine: what it announced, and the process group in which all its processes are."""

    replica_info: ReplicaInfo
    group: int

    @property
    def url(self) -> str:
        return self.replica_info.url

    def cpu_seconds(self) -> float:
        """CPU seconds that all its processes have used so far."""
        members = [psutil.Process(self.group), *psutil.Process(self.group).children(recursive=True)]
        return sum(times.user + times.system for times in (member.cpu_times() for member in members))


@asynccontextmanager
async def real_engine(
    model: str, checkpoint: str, core: int | None, slots: int, flags: Mapping[str, Any], keyless: bool = False
) -> AsyncIterator[RealEngine]:
    """An engine of an embedded checkpoint, on this core or wherever there is room, until the block ends."""
    resolved = await asyncio.to_thread(resolve, checkpoint)
    kind = ENGINE_KINDS["cpu"]
    spec = EngineSpec(
        names=(model,),
        task="chat",
        checkpoint=resolved.path,
        engine=kind.name,
        backend=kind.backend,
        slots=slots,
        flags={**FLAGS, **flags},
        environment={**kind.environment, **ENVIRONMENT, **resolved.environment},
        secrets_file=str(secrets_file()),
    )
    pool = "cpu" if core is None else f"core{core}"
    seat = Seat(
        f"{model}@{pool}#0",
        model,
        pool,
        "cpu",
        None,
        drain_timeout_s=5,
        readiness_timeout_s=START_TIMEOUT_S,
        fleet=FLEET,
    )

    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(spec, seat, Path(folder) / "engine.log", HOST, unreported, unwithdrawn)
        supervisor.engine.backend = BenchedVllm(core, keyless)
        await supervisor.start()
        try:
            assert supervisor.replica_info is not None
            yield RealEngine(supervisor.replica_info, _group_behind_guard(supervisor))
        finally:
            await supervisor.stop()


def _group_behind_guard(supervisor: Supervisor) -> int:
    """The engine is the guard's only child, and leads a process group of its own."""
    guard = supervisor.engine._process
    assert guard is not None
    (engine,) = psutil.Process(guard.pid).children()
    assert os.getpgid(engine.pid) == engine.pid
    return engine.pid


def real_fleet(engines: Sequence[RealEngine], **gateway: Any) -> Fleet:
    """The fleet file of these engines, which serve one model between them."""
    announced = [engine.replica_info for engine in engines]
    pools = [Pool(name=a.pool, vendor=a.vendor, engine=a.engine, slots=a.slots) for a in announced]
    model = Model(name=announced[0].model, task=Task.CHAT, checkpoint=announced[0].checkpoint, pools=pools)
    return Fleet(name=FLEET, gateway=Gateway(**{"port": 0, **gateway}), models=[model])


@contextmanager
def duty_cycled(engine: RealEngine, on_s: float, off_s: float) -> Iterator[None]:
    """Within the block the engine runs only `on_s` of every `on_s + off_s` seconds, as if its hardware were slower."""
    command = [sys.executable, "-m", "tests.support.duty_cycle", str(engine.group), str(on_s), str(off_s)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE) as cycling:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                cycling.communicate(timeout=10)
