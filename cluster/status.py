"""`python -m cluster status`: a cluster's nodes and a fleet's pools, what is wanted of each and what is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cluster.fleet import Fleet
from cluster.names import APPLICATION, GATEWAY, REGISTRY
from cluster.nodes import NodeKind, alive, kinds_of
from cluster.tables import aligned

NODE_HEADINGS = ("nodes", "alive", "labels", "resources")
POOL_HEADINGS = ("model", "pool", "vendor", "engine", "wanted", "there", "running", "waiting", "KV use")
ANSWER_WITHIN_S = 10
LOOK_EVERY_S = 2.0
CLEAR = "\x1b[2J\x1b[H"


def node_rows(kinds: Iterable[NodeKind]) -> Iterator[Sequence[str]]:
    """Under `NODE_HEADINGS`."""
    for kind in kinds:
        labels = ", ".join(f"{name}={value}" for name, value in kind.labels)
        resources = ", ".join(f"{name}: {amount:g}" for name, amount in kind.resources)
        yield kind.name, str(kind.most), labels or "-", resources or "-"


def pool_rows(fleet: Fleet, replicas: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Under `POOL_HEADINGS`. `replicas` as the registry lists them: `announcement` and `load` of each."""
    for model in fleet.models:
        for pool in model.pools:
            mine = [replica for replica in replicas if _seat(replica) == (model.name, pool.name)]
            loads = [replica["load"] for replica in mine]
            told = [replica["announcement"] for replica in mine]
            versions = sorted({f"{announcement['engine']} {announcement['engine_version']}" for announcement in told})
            most = f" to {pool.most_replicas}" if pool.most_replicas > pool.min_replicas else ""
            yield (
                *(model.name, pool.name, pool.vendor, ", ".join(versions) or pool.engine),
                *(f"{pool.min_replicas}{most}", f"{len(mine)}{'' if len(mine) >= pool.min_replicas else ' !'}"),
                *(str(sum(load[key] for load in loads)) for key in ("running", "waiting")),
                f"{sum(load['kv_use'] for load in loads) / len(loads):.0%}" if loads else "-",
            )


def page() -> str:
    """All of it, of the cluster that this process is connected to."""
    from ray import serve  # here and below: not for those who only read a fleet file

    lines = [*aligned(NODE_HEADINGS, list(node_rows(kinds_of(alive(), {})))), ""]
    if APPLICATION not in serve.status().applications:
        return "\n".join([*lines, "no fleet is served here: serve run deployments:app [fleet=...]"])
    try:
        fleet, replicas = asyncio.run(_asked())
    except Exception as error:  # Serve has many: of handles, of actors that are going or not there yet
        return "\n".join([*lines, f"the fleet does not answer ({type(error).__name__}): it is starting or ending"])
    return "\n".join([*lines, *aligned(POOL_HEADINGS, list(pool_rows(fleet, replicas)))])


def status(watch: bool = False) -> int:
    """Prints it, once or again and again until Ctrl-C. 1 where no cluster runs."""
    import ray

    try:
        ray.init(address="auto", namespace="serve", logging_level="ERROR", log_to_driver=False)
    except ConnectionError:
        print("no Ray cluster runs here: ray up, ray start, or serve run deployments:app")
        return 1
    try:
        while True:
            shown = page()
            print(f"{CLEAR}{shown}" if watch else shown, flush=True)
            if not watch:
                return 0
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return 0
    finally:
        ray.shutdown()


async def _asked() -> tuple[Fleet, list[dict[str, Any]]]:
    from ray import serve

    gateway = serve.get_deployment_handle(GATEWAY, APPLICATION)
    registry = serve.get_deployment_handle(REGISTRY, APPLICATION)
    async with asyncio.timeout(ANSWER_WITHIN_S):
        fleet, news = await asyncio.gather(gateway.fleet.remote(), registry.watch.remote(-1))
    return Fleet.model_validate(fleet), news["replicas"]


def _seat(replica: Mapping[str, Any]) -> tuple[str, str]:
    return replica["announcement"]["model"], replica["announcement"]["pool"]
