"""Why a fleet's replicas can never all be placed on a cluster, where that is certain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from cluster.fleet import Fleet, Pool
from cluster.gateway_nodes import wanted_labels
from cluster.nodes import OF_RAY, NodeKind
from cluster.placement import actor_options


def shortages(fleet: Fleet, kinds: Iterable[NodeKind]) -> list[str]:
    """A line where no node may have a gateway, and one for each pool of which no replica fits on any kind of node;
    without those, one for each resource of which all replicas together want more than there can be. Nothing where it is
    not certain."""
    kinds = list(kinds)
    gateway = _no_gateway(fleet, kinds)
    pools = [(model.name, pool) for model in fleet.models for pool in model.pools]
    alone = [
        f"pool '{pool.name}' of '{model}' cannot be placed: {why}"
        for model, pool in pools
        if (why := _misfit(pool, kinds))
    ]
    return gateway + (alone or _overcommitted((pool for _, pool in pools), kinds))


def _no_gateway(fleet: Fleet, kinds: list[NodeKind]) -> list[str]:
    labels = {name: value for name, value in wanted_labels(fleet.gateway).items() if not name.startswith(OF_RAY)}
    if not labels or any(kind.has(labels) for kind in kinds):
        return []
    looked = "; ".join(map(str, kinds)) or "none at all"
    return [f"gateway.nodes wants nodes labelled {_written(labels)}, and there is none; looked at {looked}"]


def _written(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _misfit(pool: Pool, kinds: list[NodeKind]) -> str:
    """Why no node could have a replica; '' where one could."""
    labels, wanted = _labels(pool), _wanted(pool)
    needs = ", ".join(f"{name}: {amount:g}" for name, amount in wanted.items()) or "nothing"
    labelled = [kind for kind in kinds if kind.has(labels)]
    where = f" labelled {_written(labels)}" if labels else ""
    if any(not kind.lacks(wanted) for kind in labelled):
        return ""
    looked = "; ".join(map(str, kinds)) or "none at all"
    if not labelled:
        return f"a replica needs a node{where}, and none has that label; looked at {looked}"
    missing = sorted({name for kind in labelled for name in kind.lacks(wanted)})
    return f"a replica needs {needs} on one node{where}; too little {', '.join(missing)} there; looked at {looked}"


def _overcommitted(pools: Iterable[Pool], kinds: list[NodeKind]) -> list[str]:
    wanted: dict[tuple[tuple[tuple[str, str], ...], str], float] = defaultdict(float)
    for pool in pools:
        for name, amount in _wanted(pool).items():
            wanted[tuple(_labels(pool).items()), name] += amount * pool.min_replicas
    found = []
    for (labels, name), amount in wanted.items():
        fitting = [kind for kind in kinds if kind.has(dict(labels))]
        there = sum(kind.most * dict(kind.resources).get(name, 0.0) for kind in fitting)
        if amount > there:
            where = f" labelled {', '.join('='.join(label) for label in labels)}" if labels else ""
            looked = "; ".join(map(str, fitting))
            found.append(
                f"all replicas on nodes{where} together need {name}: {amount:g}, and there is {there:g}; "
                f"looked at {looked}"
            )
    return found


def _labels(pool: Pool) -> Mapping[str, str]:
    labels: Mapping[str, str] = actor_options(pool).get("label_selector", {})
    return labels


def _wanted(pool: Pool) -> dict[str, float]:
    options = actor_options(pool)
    wanted = {"CPU": float(options["num_cpus"]), "GPU": float(options.get("num_gpus", 0))}
    wanted |= options.get("resources", {})
    return {name: amount for name, amount in wanted.items() if amount}
