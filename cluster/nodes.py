"""The kinds of nodes that a Ray cluster has, and those that its autoscaler may add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

NODE_GROUP = "ray.io/node-group"
BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where `ray up` puts the cluster file on the head, with the kinds of nodes that may come."""
OF_RAY = ("ray.io/", "node:", "memory", "object_store_memory", "accelerator_type:")
"""How the names of those labels and resources begin that say nothing to whom a replica lacks a node."""

Pairs = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class NodeKind:
    """Nodes that are alike, at most `most` of them at once."""

    name: str
    labels: Pairs
    resources: Pairs
    most: int = 1

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str], resources: Mapping[str, float], most: int = 1) -> NodeKind:
        return cls(name, _own(labels), _own(resources), most)

    def has(self, labels: Mapping[str, str]) -> bool:
        return labels.items() <= dict(self.labels).items()

    def lacks(self, wanted: Mapping[str, float]) -> list[str]:
        """Resources of which one of these nodes has less than wanted."""
        here = dict(self.resources)
        return [name for name, amount in wanted.items() if here.get(name, 0.0) < amount]

    def __str__(self) -> str:
        told = [f"{name}={value}" for name, value in self.labels]
        told += [f"{name}: {amount:g}" for name, amount in self.resources]
        return f"{self.most} x {self.name} ({', '.join(told) or 'nothing'})"


def node_kinds() -> list[NodeKind] | None:
    """Of the cluster that this process is connected to; None where an autoscaler may add kinds unknown here."""
    there = alive()
    if not any(NODE_GROUP in node["Labels"] for node in there):
        return kinds_of(there, {})
    file = Path(BOOTSTRAP).expanduser()
    return kinds_of(there, _node_types(file)) if file.is_file() else None


def alive() -> list[Mapping[str, Any]]:
    """Nodes as Ray lists them, of the cluster that this process is connected to."""
    import ray  # what else is here needs none

    return [node for node in ray.nodes() if node["Alive"]]


def kinds_of(nodes: Iterable[Mapping[str, Any]], node_types: Mapping[str, Mapping[str, Any]]) -> list[NodeKind]:
    """Of nodes as Ray lists them, and of the node types of a cluster file."""
    there = Counter(
        NodeKind.of(node["Labels"].get(NODE_GROUP) or node["NodeManagerAddress"], node["Labels"], node["Resources"])
        for node in nodes
    )
    to_come = [
        NodeKind.of(name, kind.get("labels", {}), kind["resources"], kind.get("max_workers", 0))
        for name, kind in node_types.items()
        if kind.get("max_workers", 0)
    ]
    growing = {kind.name for kind in to_come}
    return to_come + [replace(kind, most=count) for kind, count in there.items() if kind.name not in growing]


def _node_types(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Those of the cluster file, on the head of a cluster that `ray up` made."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(file.read_text()).get("available_node_types", {})
    return found


def _own(pairs: Mapping[str, Any]) -> Pairs:
    return tuple(sorted((name, value) for name, value in pairs.items() if not name.startswith(OF_RAY)))
