"""A gateway on every node of a cluster of processes: a lost node takes no more than its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from cluster.addresses import OF_NODE, http_address
from cluster.fleet import Fleet
from tests.support.chaos import kill_node
from tests.support.fake_cluster import served_on_cluster
from tests.support.local_cluster import LocalCluster
from tests.support.processes import fake_fleet, fake_pool
from tests.support.statuses import load, status

WITHIN_S = 120

pytestmark = pytest.mark.slow

Served = tuple[int, LocalCluster]


def fleet() -> Fleet:
    pools = [
        fake_pool(vendor, vendor=vendor, decode_step_s=0.005).model_copy(update={"cpus_per_replica": 1})
        for vendor in ("nvidia", "amd")
    ]
    made = fake_fleet(*pools)
    return made.model_copy(update={"gateway": made.gateway.model_copy(update={"host": OF_NODE, "nodes": "all"})})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateways")
    with served_on_cluster(fleet(), f"gateways-{os.getpid()}", folder) as (url, cluster):
        yield urlsplit(url).port or 0, cluster
    assert not cluster.processes()


def readiness(url: str) -> int:
    """The status of a gateway's `/ready`; 0 where nothing answers."""
    try:
        return requests.get(f"{url}/ready", timeout=5).status_code
    except requests.RequestException:
        return 0


def until_all_are_ready(served: Served) -> dict[str, str]:
    """Kind of each node of the cluster by its gateway's address, once each is ready."""
    port, cluster = served
    deadline = time.monotonic() + WITHIN_S
    while True:
        kinds = {http_address(address, port): kind for address, kind in cluster.addresses().items()}
        found = {url: readiness(url) for url in kinds}
        if set(kinds.values()) == {"head", "nvidia", "amd"} and set(found.values()) == {200}:
            return kinds
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_every_node_answers_for_the_whole_fleet(served: Served) -> None:
    replicas = set()
    for url in until_all_are_ready(served):
        assert status(url) == 200
        (model,) = requests.get(f"{url}/fleet", timeout=10).json()["models"]
        replicas.add(tuple(sorted(replica["incarnation"] for replica in model["replicas"])))
    assert len(replicas) == 1, "all know the same"
    assert len(replicas.pop()) == 2


def test_a_lost_node_takes_its_own_gateway_alone_and_the_next_one_gets_another(served: Served) -> None:
    before = until_all_are_ready(served)
    lost = next(url for url, kind in before.items() if kind == "nvidia")
    head = next(url for url, kind in before.items() if kind == "head")
    with load(head) as seen:
        assert kill_node(served[1], "nvidia")
        deadline = time.monotonic() + WITHIN_S
        while readiness(lost) or urlsplit(lost).hostname in served[1].addresses():
            assert time.monotonic() < deadline
            time.sleep(0.5)
        after = until_all_are_ready(served)
    assert set(seen) == {200}
    assert lost not in after
    assert "nvidia" in after.values()
