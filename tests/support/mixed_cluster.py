"""`python -m tests.support.mixed_cluster`: two tagged Ray nodes on this machine, the mixed-cpu preset on them, and one
sum for each vendor. Prints who answered what, as a line of JSON."""

from __future__ import annotations

import json
import time

import ray
import requests
from ray.cluster_utils import Cluster

from cluster.loading import load_fleet
from cluster.vendors import VENDOR_LABEL
from deployments.engine.process import free_port
from deployments.local_ray import NAMESPACE
from deployments.run import serving

VENDORS = ("nvidia", "amd")
STORE_BYTES = 100_000_000
ASK_FOR_S = 60


def answers(url: str) -> dict[str, str]:
    """Each vendor's answer to the same sum. Both get some: an idle fleet's ties go to chance."""
    question = [{"role": "user", "content": "What is 27 + 58?"}]
    body = {"model": "gpt-oss", "messages": question, "temperature": 0, "max_tokens": 128}
    found: dict[str, str] = {}
    deadline = time.monotonic() + ASK_FOR_S
    while len(found) < len(VENDORS) and time.monotonic() < deadline:
        answer = requests.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        found[answer.headers["x-vendor"]] = answer.json()["choices"][0]["message"]["content"]
    return found


def vendor_of_node(url: str) -> dict[str, str]:
    """Vendor of each pool -> the label of the node that its replica's actor really runs on."""
    from ray.util.state import list_actors

    labels = {node["NodeID"]: node["Labels"].get(VENDOR_LABEL, "") for node in ray.nodes()}
    replicas = requests.get(f"{url}/fleet", timeout=10).json()["models"][0]["replicas"]
    actors = {actor.name or "": actor.node_id for actor in list_actors(filters=[("state", "=", "ALIVE")])}
    ids = {replica["vendor"]: replica["replica"].rsplit("#", 1)[1] for replica in replicas}
    return {vendor: labels[next(node for name, node in actors.items() if id_ in name)] for vendor, id_ in ids.items()}


def main() -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": True},
    )
    try:
        for vendor in VENDORS:
            cluster.add_node(
                num_cpus=0, resources={vendor: 1}, labels={VENDOR_LABEL: vendor}, object_store_memory=STORE_BYTES
            )
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
        fleet = load_fleet("mixed-cpu")
        gateway = fleet.gateway.model_copy(update={"port": free_port("127.0.0.1")})
        with serving(fleet.model_copy(update={"gateway": gateway})) as url:
            print(json.dumps({"answers": answers(url), "vendor_of_node": vendor_of_node(url)}), flush=True)
        ray.shutdown()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
