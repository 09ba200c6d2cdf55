"""Control state on real Ray: no participant that is stopped or killed keeps others from knowing who is there."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
import requests

from cluster.cluster_state import current_state
from deployments.engine.process import free_port
from deployments.registry import endpoint
from deployments.registry.messages import RegistryAddress
from deployments.run import serving
from tests.support.gateway_pids import serving_on_ray
from tests.support.process_table import descendants, with_arguments
from tests.support.processes import fake_fleet, fake_pool
from tests.support.sockets import listening

RECOVERY_S = 90


@pytest.fixture(scope="module")
def url(small_ray: set[int]) -> Iterator[str]:
    pools = [fake_pool(name, decode_step_s=0.001) for name in ("a", "b")]
    with serving(fake_fleet(*pools, port=free_port("127.0.0.1"), processes=2)) as address:
        until(lambda: len(replicas(address)) == 2)
        yield address


def until(reached: Callable[[], bool], timeout_s: float = RECOVERY_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.1)


def replicas(url: str) -> dict[str, dict[str, str]]:
    """Pool -> its replica, as a gateway process knows it."""
    (model,) = requests.get(f"{url}/fleet", timeout=30).json()["models"]
    return {replica["pool"]: replica for replica in model["replicas"]}


def status(url: str) -> int:
    """Of a request on a connection of its own."""
    body = {"model": "m", "prompt": "hello", "max_tokens": 4}
    try:
        return requests.post(f"{url}/v1/completions", json=body, timeout=30).status_code
    except requests.ConnectionError:
        return 0


@contextmanager
def load(url: str) -> Iterator[Counter[int]]:
    """Requests one after the other, and the statuses of their answers."""
    over, seen = Event(), Counter[int]()

    def client() -> None:
        while not over.is_set():
            seen[status(url)] += 1

    with ThreadPoolExecutor(2) as threads:
        clients = [threads.submit(client) for _ in range(2)]
        try:
            yield seen
        finally:
            over.set()
        for each in clients:
            each.result()


def actor(title: str) -> int:
    (found,) = [pid for pid in descendants() if _title(pid).startswith(f"ray::ServeReplica:default:{title}")]
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def engine(replica: dict[str, str]) -> int:
    port = replica["url"].rsplit(":", 1)[1]
    (found,) = {one.pid for one in listening(with_arguments("deployments.engine.fake", "--port", port))}
    return found


def known_incarnations() -> set[str]:
    """As the node's supervisor knows them: what `mixfleet status` shows."""
    return {replica["info"]["incarnation"] for replica in current_state().replicas}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_stopped_gateway_process_delays_nobodys_knowledge(url: str) -> None:
    before = replicas(url)["a"]
    processes = serving_on_ray()
    assert len(processes) == 2
    with stopped(min(processes)):
        # Only the other process accepts connections now.
        os.kill(engine(before), signal.SIGKILL)
        until(lambda: replicas(url).get("a", before)["incarnation"] != before["incarnation"], 60)
        assert replicas(url)["a"]["incarnation"] in known_incarnations()
    until(lambda: [status(url) for _ in range(10)] == [200] * 10)


def test_stopped_gateway_actor_delays_nobodys_knowledge(url: str) -> None:
    before = replicas(url)["a"]
    with stopped(actor("gateway")):
        os.kill(engine(before), signal.SIGKILL)
        until(lambda: replicas(url).get("a", before)["incarnation"] != before["incarnation"], 60)
        assert status(url) == 200
    until(lambda: replicas(url)["a"]["incarnation"] in known_incarnations())


@pytest.mark.slow
def test_stopped_registry_takes_nothing_away(url: str) -> None:
    before = replicas(url)
    with load(url) as seen, stopped(actor("registry")):
        time.sleep(20)
        assert replicas(url) == before, "probes have confirmed them"
    time.sleep(3)
    assert replicas(url) == before
    assert set(seen) == {200}


@pytest.mark.slow
def test_killed_registry_comes_back_elsewhere_and_nothing_fails_meanwhile(url: str) -> None:
    before, address = replicas(url), endpoint.find()
    assert address
    with load(url) as seen:
        os.kill(actor("registry"), signal.SIGKILL)

        def lists_all() -> bool:
            assert replicas(url) == before
            return _other(endpoint.find(), address)

        until(lists_all)
        os.kill(engine(before["a"]), signal.SIGKILL)
        until(lambda: replicas(url).get("a", before["a"])["incarnation"] != before["a"]["incarnation"], 60)
    assert set(seen) == {200}


def _other(found: RegistryAddress | None, former: RegistryAddress) -> bool:
    return found is not None and found.registry != former.registry


@pytest.mark.slow
def test_replica_that_dies_while_there_is_no_registry_goes_once_it_answers_no_probe(url: str) -> None:
    with stopped(actor("registry")):
        gone = replicas(url)["b"]
        with stopped(actor("m@b")):
            os.kill(engine(gone), signal.SIGKILL)
            until(lambda: "b" not in replicas(url), 60)
            assert "a" in replicas(url)
            assert status(url) == 200
    until(lambda: len(replicas(url)) == 2)
    assert replicas(url)["b"]["incarnation"] != gone["incarnation"]
