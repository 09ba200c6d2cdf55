"""Where an engine listens: on loopback where nobody on another node needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LOOPBACK = "127.0.0.1"


def engine_host(nodes: Iterable[Mapping[str, Any]], own_address: str) -> str:
    """Loopback where the Ray cluster is one node, else this node's own address. `nodes` is what `ray.nodes()` lists."""
    alive = [node for node in nodes if node["Alive"]]
    return LOOPBACK if len(alive) <= 1 else own_address
