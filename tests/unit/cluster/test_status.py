from __future__ import annotations

from typing import Any

import pytest
import ray

from cluster.cluster_state import NODE_HEADINGS, POOL_HEADINGS, State, node_rows, pool_rows
from cluster.loading import load_fleet
from cluster.nodes import NodeKind
from cluster.status import status
from cluster.tables import aligned


def replica(pool: str, running: int, waiting: int, kv_use: float, version: str = "0.32.0") -> dict[str, Any]:
    told = {"model": "gpt-oss", "pool": pool, "engine": "cpu", "engine_version": version}
    return {"info": told, "load": {"running": running, "waiting": waiting, "kv_use": kv_use}}


def test_pools_with_what_is_wanted_and_what_is_there() -> None:
    replicas = [replica("nvidia", 3, 1, 0.5), replica("nvidia", 1, 0, 0.25, "0.32.1")]
    rows = list(pool_rows(load_fleet("mixed-cpu"), replicas))
    assert aligned(POOL_HEADINGS, rows)[2:] == [
        "gpt-oss  nvidia  nvidia  cpu 0.32.0, cpu 0.32.1  1       2      4        1        38%",
        "gpt-oss  amd     amd     cpu                     1       0 !    0        0        -",
    ]


def test_replicas_of_another_fleet_are_not_counted() -> None:
    (row,) = pool_rows(load_fleet("h200"), [replica("h200", 1, 1, 0.1)])
    assert row[4:6] == ("8", "0 !")


def test_nodes() -> None:
    kinds = [NodeKind.of("head", {}, {}), NodeKind.of("amd", {"gpu-vendor": "amd"}, {"CPU": 4, "amd": 8}, most=2)]
    assert aligned(NODE_HEADINGS, list(node_rows(kinds)))[2:] == [
        "head   1      -               -",
        "amd    2      gpu-vendor=amd  CPU: 4, amd: 8",
    ]


def test_without_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing_runs(**_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(ray, "init", nothing_runs)
    assert status() == 1
    assert "no Ray cluster runs here" in capsys.readouterr().out


def test_a_script_gets_the_same_numbers() -> None:
    kinds = [NodeKind.of("amd", {"gpu-vendor": "amd"}, {"amd": 8}, most=2)]
    state = State(kinds, load_fleet("mixed-cpu"), [replica("nvidia", 3, 1, 0.5), replica("nvidia", 1, 0, 0.25)])
    written = state.as_dict()
    assert written["nodes"] == [{"name": "amd", "alive": 2, "labels": {"gpu-vendor": "amd"}, "resources": {"amd": 8}}]
    nvidia, amd = written["pools"]
    assert (nvidia["ready"], nvidia["running"], nvidia["waiting"], nvidia["kv_use"]) == (2, 4, 1, 0.375)
    assert (amd["min_replicas"], amd["ready"], amd["kv_use"]) == (1, 0, None)
    assert State(kinds, problem="no fleet").as_dict()["problem"] == "no fleet"
