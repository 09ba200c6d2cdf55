"""`python -m deployments.gateway` as a process, over servers that run already."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from cluster.fleet import Fleet
from tests.support.front import Engine
from tests.support.gateway_pids import SERVES, serving_pids
from tests.support.processes import PROJECT_ROOT, fake_fleet

START_TIMEOUT_S = 60
BODY = {"model": "m", "prompt": "hello", "max_tokens": 4}
LISTENING = "listening on "
WAITS = re.compile(r"gateway process \(pid (\d+)\) waits in reserve")


@dataclass(frozen=True)
class StandaloneGateway:
    """A running gateway: its address, the process that was started, and what it logs."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def serving_pids(self) -> list[int]:
        """Ids of the gateway processes that accept connections or were the last to do so, by their number."""
        return serving_pids(self.log)

    def start_seconds(self) -> list[float]:
        """How long each process took from the decision that it should serve until it did, in their order."""
        return [float(seconds) for _, _, seconds in SERVES.findall(self.log.read_text())]

    def child_pids(self) -> list[int]:
        """Ids of all processes of the supervisor, with the one that waits in reserve."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sorted(map(int, children))

    def reserve_pid(self, timeout_s: float = 60) -> int:
        """The process that has imported everything and serves nothing yet, once there is one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            waiting = {int(pid) for pid in WAITS.findall(self.log.read_text())} & set(self.child_pids())
            if waiting := waiting - set(self.serving_pids()):
                return max(waiting)
            time.sleep(0.02)
        raise TimeoutError(f"no process waits in reserve after {timeout_s} s")

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """The exit status after a signal."""
        os.kill(self.process.pid, number)
        return self.process.wait(timeout_s)


def fleet_of(engine: Engine, **gateway: object) -> Fleet:
    """A fleet of that engine's pool alone."""
    fleet = fake_fleet(engine.pool)
    return fleet.model_copy(update={"gateway": fleet.gateway.model_copy(update=gateway)})


async def fresh(gateway: StandaloneGateway) -> int:
    """The status of a request on a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.post(f"{gateway.url}/v1/completions", json=BODY) as answer,
    ):
        await answer.read()
        return answer.status


def command(fleet: Path, replicas: Sequence[str]) -> list[str]:
    options = [word for replica in replicas for word in ("--replica", replica)]
    return [sys.executable, "-m", "deployments.gateway", "--fleet", str(fleet), *options]


@contextmanager
def standalone_gateway(fleet: Fleet, replicas: Sequence[str], folder: Path) -> Iterator[StandaloneGateway]:
    """Runs it until the block ends; `replicas` as on the command line."""
    file = folder / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet.model_dump(mode="json")))
    written = folder / "gateway.log"
    with written.open("wb") as log:
        process = subprocess.Popen(
            command(file, replicas), cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            if not line.startswith(LISTENING):
                raise RuntimeError(f"the gateway does not listen: {line}{written.read_text(errors='replace')[-3000:]}")
            yield StandaloneGateway(line.removeprefix(LISTENING).strip(), process, written)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, where it ignores a signal."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout:
        process.stdout.close()


def until_replaced(gateway: StandaloneGateway, pid: int, timeout_s: float) -> float:
    """Seconds until another process serves in the place of `pid`."""
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        if pid not in gateway.serving_pids():
            return time.monotonic() - started
        time.sleep(0.02)
    raise TimeoutError(f"process {pid} was not replaced within {timeout_s} s")
