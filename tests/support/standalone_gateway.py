"""`python -m deployments.gateway` as a process, over servers that run already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.fleet import Fleet
from tests.support.processes import PROJECT_ROOT

START_TIMEOUT_S = 60
LISTENING = "listening on "


@dataclass(frozen=True)
class StandaloneGateway:
    """A running gateway: its address, and the process that was started."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def serving_pids(self) -> list[int]:
        """Ids of the gateway processes that the supervisor has started, in the order of their start."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sorted(map(int, children))

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """The exit status after a signal."""
        os.kill(self.process.pid, number)
        return self.process.wait(timeout_s)


def command(fleet: Path, replicas: Sequence[str]) -> list[str]:
    options = [word for replica in replicas for word in ("--replica", replica)]
    return [sys.executable, "-m", "deployments.gateway", "--fleet", str(fleet), *options]


@contextmanager
def standalone_gateway(fleet: Fleet, replicas: Sequence[str], folder: Path) -> Iterator[StandaloneGateway]:
    """Runs it until the block ends; `replicas` as on the command line."""
    file = folder / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet.model_dump(mode="json")))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command(file, replicas), cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            if not line.startswith(LISTENING):
                log.seek(0)
                raise RuntimeError(f"the gateway does not listen: {line}{log.read().decode(errors='replace')[-3000:]}")
            yield StandaloneGateway(line.removeprefix(LISTENING).strip(), process)
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
    """Seconds until `pid` is gone and as many processes serve as before."""
    count, started = len(gateway.serving_pids()), time.monotonic()
    while time.monotonic() - started < timeout_s:
        current = gateway.serving_pids()
        if pid not in current and len(current) == count:
            return time.monotonic() - started
        time.sleep(0.02)
    raise TimeoutError(f"process {pid} was not replaced within {timeout_s} s")
