"""Where an engine listens: on loopback where nobody on another node will ever need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LOOPBACK = "127.0.0.1"


def engine_host(nodes: Iterable[Mapping[str, Any]], own_address: str, stays_one_node: bool) -> str:
    """Loopback where the Ray cluster is and stays one node, else this node's own address.

    `nodes` is what `ray.nodes()` lists. A cluster that others may join has engines that gateways on those will reach.
    """
    alive = [node for node in nodes if node["Alive"]]
    return LOOPBACK if stays_one_node and len(alive) <= 1 else own_address
