"""Fake engines on a cluster of processes, served as a user serves them: `ray up`, `ray exec ... serve run`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit

import requests

from cluster.addresses import OF_NODE, http_address
from cluster.fleet import Fleet
from tests.support.fleet_file import on_free_port
from tests.support.local_cluster import FILE, LocalCluster, local_cluster, make_token

READY_WITHIN_S = 300
NOTICE_WITHIN_S = 60


@contextmanager
def served_on_cluster(fleet: Fleet, name: str, folder: Path) -> Iterator[tuple[str, LocalCluster]]:
    """The gateway's address and the cluster, until the block ends."""
    make_token()
    file, url = on_free_port(fleet, folder)
    with local_cluster(name) as cluster, (folder / "serve.log").open("w") as log:
        if fleet.gateway.host == OF_NODE:
            head = next(address for address, kind in cluster.addresses().items() if kind == "head")
            url = http_address(head, urlsplit(url).port or 0)
        serving = cluster.start(
            *("exec", str(FILE), f"serve run deployments:app fleet={file}"),
            output=log,
            start_new_session=True,
        )
        try:
            _wait_until_ready(url, serving, folder / "serve.log")
            if fleet.gateway.nodes == "head":
                _require_notice(url, fleet, folder / "serve.log")
            yield url, cluster
        finally:
            if serving.poll() is None:
                os.killpg(serving.pid, signal.SIGINT)
            serving.wait(timeout=120)


def _require_notice(url: str, fleet: Fleet, log: Path) -> None:
    """The last line of `serve run` itself names the true address; lines of other processes name those (`pid=`)."""
    models = ", ".join(model.name for model in fleet.models)
    notice = f"mixfleet: fleet '{fleet.name}' answers on {url}/v1 (models {models})"
    deadline = time.monotonic() + NOTICE_WITHIN_S
    while notice not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.5)
    own = [line.strip() for line in log.read_text().splitlines() if line.strip() and "pid=" not in line]
    assert own[-1] == notice, own[-5:]
    assert any("is ready at http://127.0.0.1:8000" in line for line in own[:-1]), "Serve's own line comes before"


def _wait_until_ready(url: str, serving: Popen[str], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            if requests.get(f"{url}/ready", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    if serving.poll() is None:
        os.killpg(serving.pid, signal.SIGINT)
    raise RuntimeError(f"not ready: {log.read_text()[-4000:]}")
