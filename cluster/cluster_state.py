"""A cluster's nodes and its fleet's pools: how many replicas are wanted and ready, and the load of each pool."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.fleet import Fleet
from cluster.names import APPLICATION, GATEWAY
from cluster.nodes import NodeKind, alive, kinds_of
from cluster.tables import Part, Table

NODE_HEADINGS = ("nodes", "alive", "labels", "resources")
POOL_HEADINGS = ("model", "pool", "vendor", "engine", "wanted", "there", "running", "waiting", "KV use")
ANSWER_WITHIN_S = 10


def node_rows(kinds: Iterable[NodeKind]) -> Iterator[Sequence[str]]:
    """Under `NODE_HEADINGS`."""
    for kind in kinds:
        labels = ", ".join(f"{name}={value}" for name, value in kind.labels)
        resources = ", ".join(f"{name}: {amount:g}" for name, amount in kind.resources)
        yield kind.name, str(kind.most), labels or "-", resources or "-"


def pool_rows(fleet: Fleet, replicas: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Under `POOL_HEADINGS`. `replicas` as the gateways know them: `info` and `load` of each."""
    for pool in _pools(fleet, replicas):
        least, most, ready = pool["min_replicas"], pool["max_replicas"], pool["ready"]
        yield (
            *(pool["model"], pool["pool"], pool["vendor"], ", ".join(pool["versions"]) or pool["engine"]),
            f"{least} to {most}" if most > least else str(least),
            f"{ready}{'' if ready >= least else ' !'}",
            *(str(pool["running"]), str(pool["waiting"])),
            "-" if pool["kv_use"] is None else f"{pool['kv_use']:.0%}",
        )


def _pools(fleet: Fleet, replicas: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The numbers of each pool."""
    for model in fleet.models:
        for pool in model.pools:
            own = [replica for replica in replicas if _model_and_pool(replica) == (model.name, pool.name)]
            loads = [replica["load"] for replica in own]
            infos = [replica["info"] for replica in own]
            yield {
                "model": model.name,
                "pool": pool.name,
                "vendor": pool.vendor,
                "engine": pool.engine,
                "versions": sorted({f"{info['engine']} {info['engine_version']}" for info in infos}),
                "min_replicas": pool.min_replicas,
                "max_replicas": pool.most_replicas,
                "ready": len(own),
                "running": sum(load["running"] for load in loads),
                "waiting": sum(load["waiting"] for load in loads),
                "kv_use": sum(load["kv_use"] for load in loads) / len(loads) if loads else None,
            }


@dataclass(frozen=True)
class State:
    """What `mixfleet status` prints. `problem`: why there are no pools; '' where there are."""

    nodes: Sequence[NodeKind]
    fleet: Fleet | None = None
    replicas: Sequence[Mapping[str, Any]] = ()
    problem: str = ""

    def parts(self) -> list[Part]:
        """For a terminal."""
        nodes = Table(NODE_HEADINGS, list(node_rows(self.nodes)))
        if self.fleet is None:
            return [nodes, "", self.problem]
        return [nodes, "", Table(POOL_HEADINGS, list(pool_rows(self.fleet, self.replicas)))]

    def as_dict(self) -> dict[str, Any]:
        """For a script."""
        nodes = [
            {"name": kind.name, "alive": kind.most, "labels": dict(kind.labels), "resources": dict(kind.resources)}
            for kind in self.nodes
        ]
        pools = [] if self.fleet is None else list(_pools(self.fleet, self.replicas))
        name = None if self.fleet is None else self.fleet.name
        return {"nodes": nodes, "fleet": name, "pools": pools, "problem": self.problem}


def current_state() -> State:
    """Of the cluster that this process is connected to."""
    from ray import serve  # here and below: not for those who only read a fleet file

    nodes = kinds_of(alive(), {})
    if APPLICATION not in serve.status().applications:
        return State(nodes, problem="no fleet is served here: serve run deployments:app [fleet=...]")
    try:
        fleet, replicas = asyncio.run(_fleet_and_replicas())
    except Exception as error:  # Serve has many: of handles, of actors that are going or not there yet
        problem = f"the fleet does not answer ({type(error).__name__}): it is starting or ending"
        return State(nodes, problem=problem)
    return State(nodes, fleet, replicas)


async def _fleet_and_replicas() -> tuple[Fleet, list[dict[str, Any]]]:
    from ray import serve

    gateway = serve.get_deployment_handle(GATEWAY, APPLICATION)
    async with asyncio.timeout(ANSWER_WITHIN_S):
        fleet, replicas = await asyncio.gather(gateway.fleet.remote(), gateway.replicas.remote())
    return Fleet.model_validate(fleet), replicas


def _model_and_pool(replica: Mapping[str, Any]) -> tuple[str, str]:
    return replica["info"]["model"], replica["info"]["pool"]
