from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cluster.fleet import Gateway
from cluster.gateway_nodes import HEAD_RESOURCE, count_nodes, placement


def node(alive: bool = True, **labels: str) -> dict[str, Any]:
    return {"Alive": alive, "Labels": labels, "Resources": {"CPU": 4.0}}


NODES = [node(), node(role="gateway"), node(role="gateway", zone="a"), node(role="engine"), node(alive=False)]


@pytest.mark.parametrize(
    ("nodes", "count", "options"),
    [
        ("head", 1, {"num_cpus": 0, "resources": {HEAD_RESOURCE: 0.001}}),
        ("all", 4, {"num_cpus": 0}),
        ({"role": "gateway"}, 2, {"num_cpus": 0, "label_selector": {"role": "gateway"}}),
        ({"role": "gateway", "zone": "a"}, 1, {"num_cpus": 0, "label_selector": {"role": "gateway", "zone": "a"}}),
        ({"role": "other"}, 0, {"num_cpus": 0, "label_selector": {"role": "other"}}),
    ],
)
def test_nodes_that_have_a_gateway(nodes: Any, count: int, options: dict[str, Any]) -> None:
    gateway = Gateway(nodes=nodes)
    assert count_nodes(gateway, NODES) == count
    assert placement(gateway) == options


@pytest.mark.parametrize("nodes", [{}, "some", ["a"], {"role": 1}])
def test_what_names_no_nodes_is_refused(nodes: Any) -> None:
    with pytest.raises(ValidationError):
        Gateway(nodes=nodes)
