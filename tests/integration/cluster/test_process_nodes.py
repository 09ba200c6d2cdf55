"""`ray up` with processes for machines: two clusters at once, and a start that is interrupted."""

from __future__ import annotations

import ast
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.local_cluster import FILE, LocalCluster, make_token
from tests.support.process_table import gone

NAMES = [f"test-{os.getpid()}-{number}" for number in range(2)]
NODES = """python -c '
import ray, time
ray.init(logging_level=40)
while len(ray.nodes()) < 3: time.sleep(0.2)
@ray.remote(num_cpus=0)
def where(): return ray.util.get_node_ip_address()
kinds = {"nvidia": "nvidia", "amd": "amd"}
placed = {k: ray.get(where.options(resources={k: 1}, label_selector={"gpu-vendor": k}).remote()) for k in kinds}
found = {n["Labels"].get("gpu-vendor", "head"): n["NodeManagerAddress"] for n in ray.nodes()}
print(["nodes", found, placed])
'"""


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def nodes(cluster: LocalCluster) -> tuple[dict[str, str], dict[str, str]]:
    """Address of the node of each kind, and of that where each vendor's task ran."""
    output = cluster.execute(NODES)
    _, found, placed = ast.literal_eval(next(line for line in output.splitlines() if line.startswith("['nodes'")))
    return found, placed


@pytest.mark.timeout(600)
def test_two_clusters_at_once_know_nothing_of_each_other() -> None:
    make_token()
    clusters = [LocalCluster(name) for name in NAMES]
    with ThreadPoolExecutor(2) as threads:
        try:
            list(threads.map(LocalCluster.up, clusters))
            seen = list(threads.map(nodes, clusters))
            for found, placed in seen:
                assert found.keys() == {"head", "nvidia", "amd"}
                assert placed == {vendor: found[vendor] for vendor in ("nvidia", "amd")}
            addresses = [address for found, _ in seen for address in found.values()]
            assert len(set(addresses)) == 6
            assert all(address.startswith("127.") for address in addresses)
            assert any(title(pid).startswith("ray::") for pid in clusters[0].processes()), "workers are not seen"
            clusters[0].down()
            assert not clusters[0].processes()
            assert nodes(clusters[1]) == seen[1]
        finally:
            list(threads.map(LocalCluster.down, clusters))
    assert not [pid for cluster in clusters for pid in cluster.processes()]


@pytest.mark.timeout(300)
def test_nothing_is_left_of_a_start_that_was_interrupted() -> None:
    make_token()
    cluster = LocalCluster(f"{NAMES[0]}-interrupted")
    starting = cluster.start("up", "-y", "--no-config-cache", str(FILE), start_new_session=True)
    assert starting.stdout is not None
    try:
        for line in starting.stdout:
            if "Starting the Ray runtime" in line:
                break
        os.killpg(starting.pid, signal.SIGINT)
        starting.communicate(timeout=120)
        assert starting.returncode
    finally:
        starting.kill()
        cluster.down()
    assert gone(cluster.processes(), within_s=5)
