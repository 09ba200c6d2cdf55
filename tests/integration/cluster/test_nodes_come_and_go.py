"""A served cluster of processes: it loses a node under load, grows onto a further one, and gets a neighbour."""

from __future__ import annotations

import ast
import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from cluster.fleet import Autoscaling, Fleet
from tests.support.chaos import Chaos
from tests.support.fake_cluster import served_on_cluster
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import fake_fleet, fake_pool

SLOTS = 16
CLIENTS = 4 * SLOTS
WITHIN_S = 120

pytestmark = pytest.mark.slow

VENDORS = ("nvidia", "amd")
NODES = """python -c '
import ray, time
ray.init(logging_level=40)
while len(nodes := [node for node in ray.nodes() if node["Alive"]]) < 3: time.sleep(0.2)
@ray.remote(num_cpus=0)
def where(): return ray.util.get_node_ip_address()
placed = {v: ray.get(where.options(resources={v: 1}, label_selector={"gpu-vendor": v}).remote()) for v in VENDORS}
print(["nodes", {n["NodeManagerAddress"]: n["Labels"].get("gpu-vendor", "head") for n in nodes}, placed])
'""".replace("VENDORS", str(VENDORS).replace("'", '"'))

Served = tuple[str, LocalCluster]


def fleet() -> Fleet:
    """A replica on a node of each vendor; nvidia's pool may have a second one, for which its node has no room."""
    nvidia, amd = (
        fake_pool(vendor, vendor=vendor, slots=SLOTS, decode_step_s=0.025).model_copy(
            update={"cpus_per_replica": 3, "max_replicas": most}
        )
        for vendor, most in (("nvidia", 2), ("amd", 1))
    )
    made = fake_fleet(nvidia, amd)
    settings = Autoscaling(target_use=0.75, up_window_s=2, down_window_s=600)
    (model,) = made.models
    return made.model_copy(update={"models": [model.model_copy(update={"autoscaling": settings})]})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_on_cluster(fleet(), f"nodes-{os.getpid()}", tmp_path_factory.mktemp("nodes")) as (url, cluster):
        yield url, cluster
    assert not cluster.processes()


def test_a_lost_node_costs_no_answer_and_is_replaced(served: Served) -> None:
    url, cluster = served
    seen = asyncio.run(Chaos(url, cluster, seconds=8, node_every_s=4, replica_every_s=1000).run())
    assert seen.killed["node"] == 1
    assert seen.problems == []
    assert seen.requests >= 40
    assert seen.slowest_s < 60
    assert seen.recovered_s < WITHIN_S


def test_a_pool_grows_onto_a_further_node(served: Served) -> None:
    url, cluster = served
    assert list(cluster.nodes().values()).count("nvidia") == 1
    with ThreadPoolExecutor(CLIENTS) as clients:
        deadline = time.monotonic() + WITHIN_S
        while replicas(url)["nvidia"] < 2:
            assert time.monotonic() < deadline, replicas(url)
            assert set(clients.map(ask, [url] * CLIENTS)) == {200}
    assert replicas(url) == {"nvidia": 2, "amd": 1}
    assert list(cluster.nodes().values()).count("nvidia") == 2


def replicas(url: str) -> Counter[str]:
    (model,) = requests.get(f"{url}/fleet", timeout=10).json()["models"]
    return Counter(replica["pool"] for replica in model["replicas"])


def ask(url: str) -> int:
    body = {"model": "m", "prompt": "hello", "max_tokens": 100, "ignore_eos": True}
    return requests.post(f"{url}/v1/completions", json=body, timeout=WITHIN_S).status_code


def test_a_second_cluster_comes_and_goes_and_neither_knows_of_the_other(served: Served) -> None:
    url, first = served
    before = nodes(first)
    with local_cluster(f"neighbour-{os.getpid()}") as second:
        beside, placed = nodes(second)
        assert sorted(beside.values()) == ["amd", "head", "nvidia"]
        assert {vendor: beside[address] for vendor, address in placed.items()} == {vendor: vendor for vendor in VENDORS}
        assert not beside.keys() & before[0].keys()
        assert all(address.startswith("127.") for address in (*beside, *before[0]))
        assert any(title(pid).startswith("ray::") for pid in second.processes()), "workers are not seen"
        assert not {*second.processes()} & {*first.processes()}
    assert not second.processes()
    after = nodes(first)[0]
    assert before[0].items() <= after.items(), "a pool of the first may still grow, and keeps the nodes that it had"
    assert not beside.keys() & after.keys()
    assert {ask(url) for _ in range(10)} == {200}


def nodes(cluster: LocalCluster) -> tuple[dict[str, str], dict[str, str]]:
    """Kind of each node by its address, and the address of the node where each vendor's task ran."""
    output = cluster.execute(NODES)
    _, found, placed = ast.literal_eval(next(line for line in output.splitlines() if line.startswith("['nodes'")))
    return found, placed


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
