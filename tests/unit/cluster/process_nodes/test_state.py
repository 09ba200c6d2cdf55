from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.process_nodes.state import (
    FIRST_RANGE,
    LAST_RANGE,
    Cluster,
    State,
    StateFile,
    add_node,
    free_ports,
    remove_node,
)

NAMES = st.sampled_from(["a", "b", "c"])


@given(steps=st.lists(st.tuples(NAMES, st.booleans()), max_size=40))
def test_no_two_nodes_share_an_address_and_no_two_clusters_a_range(steps: list[tuple[str, bool]]) -> None:
    state = State()
    for cluster, adds in steps:
        if adds:
            add_node(state, cluster, {}, ())
        elif cluster in state.clusters:
            remove_node(state, cluster, next(iter(state.clusters[cluster].nodes)))
    assert all(entry.nodes for entry in state.clusters.values())
    ranges = [entry.range for entry in state.clusters.values()]
    addresses = [node.address for entry in state.clusters.values() for node in entry.nodes.values()]
    assert len(set(ranges)) == len(ranges)
    assert len(set(addresses)) == len(addresses)
    assert all(ip_address(address).is_loopback for address in addresses)


def test_many_nodes_of_one_cluster_have_addresses() -> None:
    state = State()
    for _ in range(600):
        add_node(state, "c", {}, ())
    assert len({ip_address(node.address) for node in state.clusters["c"].nodes.values()}) == 600


def test_an_id_is_not_used_again() -> None:
    state = State()
    first, second = add_node(state, "c", {}, ()), add_node(state, "c", {}, ())
    remove_node(state, "c", second)
    assert add_node(state, "c", {}, ()) not in (first, second)


def test_more_clusters_than_ranges_are_refused() -> None:
    state = State({str(number): Cluster(number) for number in range(FIRST_RANGE, LAST_RANGE + 1)})
    with pytest.raises(RuntimeError, match="end one with `ray down`"):
        add_node(state, "c", {}, ())


def test_what_does_not_stand_there_is_removed_already() -> None:
    state = State()
    remove_node(state, "c", "node-0")
    assert not state.clusters


def test_a_change_is_read_by_others_and_a_failure_changes_nothing(tmp_path: Path) -> None:
    with StateFile(tmp_path).changing() as state:
        add_node(state, "c", {"kind": "head"}, ("gcs",))
    with pytest.raises(TypeError), StateFile(tmp_path).changing() as state:
        state.clusters["broken"] = object()  # type: ignore[assignment]
    (node,) = StateFile(tmp_path).read().clusters["c"].nodes.values()
    assert node.tags == {"kind": "head"}
    assert 0 < node.ports["gcs"] < 2**16


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
