from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from cluster import nodes
from cluster.fleet import Fleet, Model, Pool, Task
from cluster.loading import load_fleet
from cluster.nodes import NodeKind, kinds_of
from cluster.rehearsal import REAL, rehearsal
from cluster.shortage import shortages

HEAD = NodeKind.of("head", {}, {"CPU": 4})
NVIDIA = NodeKind.of("nvidia", {"gpu-vendor": "nvidia"}, {"CPU": 96, "GPU": 8, "nvidia": 8})
AMD = NodeKind.of("amd", {"gpu-vendor": "amd"}, {"CPU": 96, "GPU": 8, "amd": 8})


def fleet(*pools: Pool) -> Fleet:
    return Fleet(name="f", models=[Model(name="m", task=Task.CHAT, checkpoint="c", pools=list(pools))])


def pool(vendor: str = "nvidia", engine: str = "cuda", **changes: Any) -> Pool:
    return Pool(**{"name": vendor, "vendor": vendor, "engine": engine, **changes})


@pytest.mark.parametrize("preset", ["h200", "h200-mi350x", "qwen3-vl-h200", "mixed-cpu"])
def test_a_fleet_that_fits_has_none(preset: str) -> None:
    assert shortages(load_fleet(preset), [HEAD, NVIDIA, AMD]) == []


def test_a_vendor_that_is_not_there_is_named_with_what_is() -> None:
    (line,) = shortages(load_fleet("h200-mi350x"), [HEAD, NVIDIA])
    assert line == (
        "pool 'mi350x' of 'openai/gpt-oss-120b' cannot be placed: a replica needs a node labelled gpu-vendor=amd, and "
        "none has that label; looked at 1 x head (CPU: 4); 1 x nvidia (gpu-vendor=nvidia, CPU: 96, GPU: 8, nvidia: 8)"
    )


def test_a_replica_must_fit_on_one_node() -> None:
    two_nodes = [NodeKind.of("nvidia", {"gpu-vendor": "nvidia"}, {"CPU": 96, "GPU": 4, "nvidia": 4}, most=2)]
    (line,) = shortages(fleet(pool(tensor_parallel=8)), two_nodes)
    assert "a replica needs CPU: 1, GPU: 8, nvidia: 8 on one node labelled gpu-vendor=nvidia" in line
    assert "too little GPU, nvidia there; looked at 2 x nvidia" in line


def test_all_together_may_be_too_many() -> None:
    (gpus, resource) = shortages(fleet(pool(min_replicas=9)), [HEAD, NVIDIA])
    assert "together need GPU: 9, and there is 8" in gpus
    assert "together need nvidia: 9, and there is 8" in resource
    assert shortages(fleet(pool(min_replicas=9)), [HEAD, replace(NVIDIA, most=2)]) == []


def test_pools_of_two_models_share_a_vendors_nodes() -> None:
    both = load_fleet("h200").models[0], load_fleet("whisper-h200").models[0]
    lines = shortages(Fleet(name="f", models=list(both)), [NVIDIA])
    assert any("need nvidia: 16, and there is 8" in line for line in lines)


def test_a_pool_that_wants_nothing_fits_anywhere() -> None:
    assert shortages(fleet(pool("cpu", "fake", cpus_per_replica=0)), [HEAD]) == []
    (line,) = shortages(fleet(pool("cpu", "fake", cpus_per_replica=0)), [])
    assert "looked at none at all" in line


def test_kinds_are_those_alive_and_those_that_may_come() -> None:
    types = rehearsal(yaml.safe_load(REAL.read_text()))["available_node_types"]
    alive = [
        {
            "Labels": {"ray.io/node-group": "head", "ray.io/node-id": "x"},
            "Resources": {"CPU": 4.0, "node:__internal_head__": 1.0, "memory": 1e9, "node:127.64.0.1": 1.0},
            "NodeManagerAddress": "127.64.0.1",
        }
    ]
    kinds = {kind.name: kind for kind in kinds_of(alive, types)}
    assert str(kinds["head"]) == "1 x head (CPU: 4)"
    assert str(kinds["amd"]) == "2 x amd (gpu-vendor=amd, CPU: 4, GPU: 8, amd: 8)"
    assert kinds.keys() == {"head", "nvidia", "amd"}


def test_where_an_autoscaler_may_add_what_is_unknown_there_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = {"Alive": True, "Labels": {"ray.io/node-group": "head"}, "Resources": {}, "NodeManagerAddress": "10.0.0.1"}
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    monkeypatch.setattr(nodes, "BOOTSTRAP", str(tmp_path / "none.yaml"))
    assert nodes.node_kinds() is None
    (tmp_path / "none.yaml").write_text("available_node_types: {amd: {resources: {amd: 8}, max_workers: 3}}")
    found = nodes.node_kinds()
    assert found is not None
    assert {kind.name: kind.most for kind in found} == {"amd": 3, "head": 1}
    node["Labels"] = {}
    assert [kind.name for kind in nodes.node_kinds() or []] == ["10.0.0.1"]


def test_nodes_without_a_group_go_by_their_address() -> None:
    node = {"Labels": {"gpu-vendor": "amd"}, "Resources": {"CPU": 2.0, "amd": 1.0}, "NodeManagerAddress": "10.0.0.7"}
    (kind,) = kinds_of([node, node], {})
    assert str(kind) == "2 x 10.0.0.7 (gpu-vendor=amd, CPU: 2, amd: 1)"
