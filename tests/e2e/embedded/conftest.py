"""One embedded fleet of real vLLM engines for all end-to-end tests, started as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest
import requests
from openai import OpenAI

from cluster.loading import load_fleet
from deployments.engine.process import PROJECT_ROOT
from tests.support.engine_keys import secrets_file
from tests.support.fleet_file import on_free_port

START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 90
GCS_ADDRESS = "--gcs-address="


@dataclass
class RunningFleet:
    """The fleet's address, and the `serve run` process that it belongs to."""

    url: str
    command: subprocess.Popen[bytes]

    @property
    def ray_address(self) -> str:
        """HOST:PORT of the Ray that `serve run` has started, for commands that join it."""
        words = (word for child in psutil.Process(self.command.pid).children(True) for word in child.cmdline())
        return next(word.removeprefix(GCS_ADDRESS) for word in words if word.startswith(GCS_ADDRESS))

    def replicas(self, model: str) -> list[dict[str, object]]:
        models = requests.get(f"{self.url}/fleet", timeout=10).json()["models"]
        return next(m["replicas"] for m in models if m["name"] == model)


def serve_run(
    fleet_file: Path,
    url: str,
    log: Path,
    *,
    serve: Path = Path(sys.executable).parent / "serve",
    folder: Path = PROJECT_ROOT,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.Popen[bytes]:
    """Starts `serve run deployments:app fleet=FILE` in `folder` and returns once the gateway is ready."""
    command = [str(serve), "run", "deployments:app", f"fleet={fleet_file}"]
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            # Where the tests themselves run in the background, SIGINT would be ignored and Ctrl-C not be tested.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _ready(url):
        if started.poll() is not None or time.monotonic() > deadline:
            started.kill()
            pytest.fail(f"the fleet did not start:\n{log.read_text(errors='replace')[-6000:]}")
        time.sleep(1)
    return started


def end_with_ctrl_c(command: subprocess.Popen[bytes]) -> None:
    """Interrupts `serve run`. Raises AssertionError, and ends what is left, where a process outlives it."""
    family = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(signal.SIGINT)
    try:
        command.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()
    _, left = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
    for process in left:
        process.kill()
    assert not left, f"Ctrl-C left these running: {left}"


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """The embedded preset on a port of its own, lest it disturb a fleet of this machine, and without a compiler."""
    folder = tmp_path_factory.mktemp("fleet")
    # The secrets are for tests that talk to its engines themselves.
    file, url = on_free_port(load_fleet("embedded"), folder, secrets_file=str(secrets_file()))
    environment = {**os.environ, "CXX": "/a/compiler/that/is/not/there"}
    command = serve_run(file, url, folder / "serve.log", environment=environment)
    try:
        yield RunningFleet(url, command)
    finally:
        end_with_ctrl_c(command)


@pytest.fixture(scope="package")
def client(fleet: RunningFleet) -> OpenAI:
    return OpenAI(base_url=f"{fleet.url}/v1", api_key="none", timeout=120, max_retries=0)


@pytest.fixture
async def http(fleet: RunningFleet) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fleet.url, timeout=aiohttp.ClientTimeout(total=180)) as session:
        yield session
