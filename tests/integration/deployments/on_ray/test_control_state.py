"""Control state on real Ray: no participant that is stopped or killed keeps others from knowing who is there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.cluster_state import current_state
from deployments.engine.process import free_port
from deployments.registry import endpoint
from deployments.registry.messages import RegistryAddress
from deployments.run import serving
from tests.support.gateway_pids import serving_on_ray
from tests.support.process_table import with_arguments
from tests.support.processes import fake_fleet, fake_pool
from tests.support.ray_processes import actor, processes_of, replicas
from tests.support.sockets import listening
from tests.support.statuses import load, status

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
        os.kill(processes_of(before)[0], signal.SIGKILL)
        until(lambda: replicas(url).get("a", before)["incarnation"] != before["incarnation"], 60)
        assert replicas(url)["a"]["incarnation"] in known_incarnations()
    until(lambda: [status(url) for _ in range(10)] == [200] * 10)


def test_stopped_gateway_actor_delays_nobodys_knowledge(url: str) -> None:
    before = replicas(url)["a"]
    with stopped(actor("ServeReplica:default:gateway")):
        os.kill(processes_of(before)[0], signal.SIGKILL)
        until(lambda: replicas(url).get("a", before)["incarnation"] != before["incarnation"], 60)
        assert status(url) == 200
    until(lambda: replicas(url)["a"]["incarnation"] in known_incarnations())


def supervisor(url: str) -> int:
    """The process of that name that has the gateway's listening socket."""
    port = int(url.rpartition(":")[2])
    running = with_arguments("deployments.gateway.supervision.supervisor_process")
    return max((one.pid for one in listening(running) if one.port == port), default=0)


@pytest.mark.slow
def test_killed_supervisor_is_replaced_on_its_address_and_no_connection_is_refused(url: str) -> None:
    killed, before = supervisor(url), serving_on_ray()
    with load(url) as seen:
        os.kill(killed, signal.SIGKILL)
        until(lambda: supervisor(url) not in (0, killed))
        until(lambda: len(serving_on_ray() - before) == 2)
    assert set(seen) == {200}
    assert replicas(url).keys() == {"a", "b"}


@pytest.mark.slow
def test_stopped_registry_takes_nothing_away(url: str) -> None:
    before = replicas(url)
    with load(url) as seen, stopped(actor("ServeReplica:default:registry")):
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
        os.kill(actor("ServeReplica:default:registry"), signal.SIGKILL)

        def lists_all() -> bool:
            assert replicas(url) == before
            return _other(endpoint.find(), address)

        until(lists_all)
        os.kill(processes_of(before["a"])[0], signal.SIGKILL)
        until(lambda: replicas(url).get("a", before["a"])["incarnation"] != before["a"]["incarnation"], 60)
    assert set(seen) == {200}


def _other(found: RegistryAddress | None, former: RegistryAddress) -> bool:
    return found is not None and found.registry != former.registry


@pytest.mark.slow
def test_replica_that_dies_while_there_is_no_registry_goes_once_it_answers_no_probe(url: str) -> None:
    with stopped(actor("ServeReplica:default:registry")):
        gone = replicas(url)["b"]
        with stopped(actor("ServeReplica:default:m@b")):
            os.kill(processes_of(gone)[0], signal.SIGKILL)
            until(lambda: "b" not in replicas(url), 60)
            assert "a" in replicas(url)
            assert status(url) == 200
    until(lambda: len(replicas(url)) == 2)
    assert replicas(url)["b"]["incarnation"] != gone["incarnation"]
