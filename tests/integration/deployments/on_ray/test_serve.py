"""The whole of it on real Ray Serve, with fake engines: placed, found, killed, replaced, and ended without a trace."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests
from ray import serve

from cluster.cluster_state import current_state
from cluster.loading import load_fleet
from cluster.names import APPLICATION
from cluster.tables import plain
from deployments.engine.process import free_port
from deployments.room import NoRoom, require_room
from deployments.run import serving
from tests.support.gateway_pids import serving_on_ray
from tests.support.process_table import alive, gone
from tests.support.processes import fake_fleet, fake_pool
from tests.support.ray_processes import actor, actors, processes_of, replicas

RECOVERY_S = 90


@pytest.fixture(scope="module")
def url(small_ray: set[int]) -> Iterator[str]:
    pools = [fake_pool(name, decode_step_s=0.001) for name in ("a", "b")]
    fleet = fake_fleet(*pools, port=free_port("127.0.0.1"))
    with serving(fleet) as address:
        until(lambda: requests.get(f"{address}/ready", timeout=5).status_code == 200)
        yield address
        engines = [pid for replica in replicas(address).values() for pid in processes_of(replica)]
        assert len(engines) == 6
    assert gone(engines, 1), "an engine outlives its fleet"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/health", timeout=2)


def ask(url: str) -> requests.Response:
    body = {"model": "alias", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    return requests.post(f"{url}/v1/chat/completions", json=body, timeout=20)


def until(reached: Callable[[], bool], timeout_s: float = RECOVERY_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.2)


def test_two_pools_answer_behind_one_address(url: str) -> None:
    assert requests.get(f"{url}/ready", timeout=5).status_code == 200
    found = replicas(url)
    assert set(found) == {"a", "b"}
    assert all(replica["replica"].startswith(f"m@{pool}#") for pool, replica in found.items())
    pools = Counter(ask(url).headers["x-pool"] for _ in range(30))
    assert set(pools) == {"a", "b"}


def test_a_killed_engine_comes_back_as_a_new_incarnation(url: str) -> None:
    old = replicas(url)["a"]
    engine, guard, actor = processes_of(old)
    os.kill(engine, signal.SIGKILL)
    assert [ask(url).status_code for _ in range(20)] == [200] * 20, "the other pool answers meanwhile"
    until(lambda: replicas(url).get("a", old)["incarnation"] != old["incarnation"])
    new = replicas(url)["a"]
    assert new["replica"] == old["replica"], "the same actor has started it"
    assert processes_of(new)[2] == actor
    assert not alive(guard)
    until(lambda: ask(url).headers["x-pool"] == "a", 20)


def test_a_killed_actor_takes_its_engine_along_and_is_replaced(url: str) -> None:
    old = replicas(url)["b"]
    engine, guard, actor = processes_of(old)
    os.kill(actor, signal.SIGKILL)
    assert gone([engine, guard], 20), "an orphan holds its GPUs"
    assert [ask(url).status_code for _ in range(20)] == [200] * 20
    until(lambda: replicas(url).get("b", old)["incarnation"] != old["incarnation"])
    assert replicas(url)["b"]["replica"] != old["replica"]
    until(lambda: ask(url).headers["x-pool"] == "b", 20)


def test_a_killed_registry_leaves_no_gap(url: str) -> None:
    """Gateways keep what they know; the new registry hears it all again from heartbeats."""
    registry = actor("ServeReplica:default:registry")
    os.kill(registry, signal.SIGKILL)
    until(lambda: ask(url).status_code == 200 and len(replicas(url)) == 2 and _is_replaced(registry, "registry"), 30)
    assert [ask(url).status_code for _ in range(20)] == [200] * 20
    old = replicas(url)["a"]
    os.kill(processes_of(old)[0], signal.SIGKILL)
    until(lambda: replicas(url).get("a", old)["incarnation"] != old["incarnation"])


def _is_replaced(pid: int, deployment: str) -> bool:
    try:
        return actor(f"ServeReplica:default:{deployment}") != pid
    except ValueError:
        return False


def test_killed_gateway_actor_interrupts_nobody_and_its_successor_adopts_the_processes(url: str) -> None:
    body = {"model": "m", "prompt": "hello", "max_tokens": 2_000, "stream": True}
    processes = serving_on_ray()
    with requests.post(f"{url}/v1/completions", json=body, stream=True, timeout=60) as stream:
        pieces = stream.iter_content(100)
        first = next(pieces)
        killed = actor("ServeReplica:default:gateway")
        os.kill(killed, signal.SIGKILL)
        assert [ask(url).status_code for _ in range(20)] == [200] * 20
        assert b"".join([first, *pieces]).endswith(b"data: [DONE]\n\n")
    until(lambda: bool(actors("ServeReplica:default:gateway") - {killed}), 60)
    until(lambda: serve.status().applications[APPLICATION].status == "RUNNING", 60)
    assert ask(url).status_code == 200
    assert serving_on_ray() == processes


def test_a_killed_gateway_process_closes_its_connections_at_once_and_is_replaced(url: str) -> None:
    body = {"model": "m", "prompt": "hello", "max_tokens": 20_000, "stream": True}
    with requests.post(f"{url}/v1/completions", json=body, stream=True, timeout=20) as stream:
        pieces = stream.iter_content(100)
        next(pieces)
        killed = time.monotonic()
        (process,) = serving_on_ray()
        os.kill(process, signal.SIGKILL)
        with pytest.raises(requests.exceptions.RequestException):
            list(pieces)
        assert time.monotonic() - killed < 5
    until(lambda: _answers(url), 30)
    assert [ask(url).status_code for _ in range(20)] == [200] * 20
    assert set(replicas(url)) == {"a", "b"}
    assert serving_on_ray() != {process}


def _answers(url: str) -> bool:
    try:
        return ask(url).status_code == 200
    except requests.ConnectionError:
        return False


def test_a_killed_controller_is_not_missed_and_goes_on_replacing(url: str) -> None:
    os.kill(actor("ServeController"), signal.SIGKILL)
    assert [ask(url).status_code for _ in range(50)] == [200] * 50
    old = replicas(url)["b"]
    os.kill(processes_of(old)[2], signal.SIGKILL)
    assert [ask(url).status_code for _ in range(20)] == [200] * 20
    until(lambda: replicas(url).get("b", old)["incarnation"] != old["incarnation"])


def test_a_fleet_that_never_fits_is_refused_and_told_what_is_missing(url: str) -> None:
    with pytest.raises(NoRoom) as refused:
        require_room(load_fleet("mixed-cpu"), wait_s=1.5)
    words = str(refused.value)
    assert "pool 'nvidia' of 'gpt-oss' cannot be placed: a replica needs a node labelled gpu-vendor=nvidia" in words
    assert "(CPU: 2)" in words
    assert ask(url).status_code == 200


def test_a_second_fleet_on_the_same_cluster_is_refused(url: str) -> None:
    with pytest.raises(RuntimeError, match="already serves an application"), serving(fake_fleet()):
        pass
    assert ask(url).status_code == 200


def page() -> str:
    return plain(current_state().parts())


def test_status_shows_what_is_wanted_and_what_is_there(url: str) -> None:
    def pools() -> list[list[str]]:
        rows = [line.split() for line in page().splitlines() if line.startswith("m ")]
        return [cells[1:3] + cells[-5:] for cells in rows]

    # One that was killed before is listed until its heartbeats have been missed.
    until(lambda: pools() == [[pool, "cpu", "1", "1", "0", "0", "0%"] for pool in ("a", "b")])
    assert any(line.split()[1:] == ["1", "-", "CPU:", "2"] for line in page().splitlines())
