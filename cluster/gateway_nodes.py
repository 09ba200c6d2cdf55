"""Which nodes of a Ray cluster have a gateway: `gateway.nodes` of the fleet file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.fleet import Gateway

HEAD_RESOURCE = "node:__internal_head__"
"""Ray's own resource of the node that has the cluster's state."""


def wanted_labels(gateway: Gateway) -> Mapping[str, str]:
    """Labels that a node of a gateway has: none where each node has one."""
    return gateway.nodes if isinstance(gateway.nodes, dict) else {}


def has_gateway(gateway: Gateway, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels has one by them, and not for being the head."""
    return gateway.nodes != "head" and wanted_labels(gateway).items() <= labels.items()


def count_nodes(gateway: Gateway, nodes: Iterable[Mapping[str, Any]]) -> int:
    """How many of these nodes, as Ray lists them, have a gateway."""
    if gateway.nodes == "head":
        return 1
    return sum(has_gateway(gateway, node["Labels"]) for node in nodes if node["Alive"])


def placement(gateway: Gateway) -> dict[str, Any]:
    """`ray_actor_options` of the actor of one node. It costs no CPU of Ray's: the gateway's processes are beside it."""
    if gateway.nodes == "head":
        return {"num_cpus": 0, "resources": {HEAD_RESOURCE: 0.001}}
    labels = dict(wanted_labels(gateway))
    return {"num_cpus": 0} | ({"label_selector": labels} if labels else {})
