from __future__ import annotations

import pytest

from deployments.engine.listening import engine_host

HEAD, WORKER, GONE = {"Alive": True}, {"Alive": True}, {"Alive": False}


@pytest.mark.parametrize(
    ("nodes", "host"),
    [([HEAD], "127.0.0.1"), ([HEAD, GONE], "127.0.0.1"), ([HEAD, WORKER], "10.0.0.1")],
)
def test_an_engine_listens_on_loopback_where_the_cluster_is_one_node(nodes: list[dict[str, bool]], host: str) -> None:
    assert engine_host(nodes, "10.0.0.1", stays_one_node=True) == host


@pytest.mark.parametrize("nodes", [[HEAD], [HEAD, GONE], [HEAD, WORKER]])
def test_an_engine_that_was_first_on_a_cluster_is_reached_from_nodes_that_join_later(
    nodes: list[dict[str, bool]],
) -> None:
    assert engine_host(nodes, "10.0.0.1", stays_one_node=False) == "10.0.0.1"
