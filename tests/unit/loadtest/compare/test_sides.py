from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtest.compare.runs import Run, read_runs
from loadtest.compare.sides import side_by_side


def cells(runs: Sequence[Run]) -> dict[str, list[str]]:
    headings, rows = side_by_side(runs)
    assert len({len(row) for row in [headings, *rows]}) == 1
    return {name: list(told) for name, *told in rows}


def test_figures_stand_with_their_ratio_to_the_first(a_run: Any) -> None:
    told = cells(read_runs([a_run("a", 10_000.0), a_run("b", 12_500.0, {"h200": 4, "mi350x": 4})]))
    assert told["value"] == ["10,000.00 tokens/s", "12,500.00 tokens/s (x 1.250)"]
    assert told["of each accelerator"] == ["1,250.00 tokens/s", "1,562.50 tokens/s (x 1.250)"]
    assert told["TTFT p99"] == ["1.000 s", "1.250 s (x 1.250)"]
    assert told["TPOT p99"] == ["60.000 ms", "60.000 ms (x 1.000)"]
    assert told["fleet"] == ["8 x h200", "4 x h200 + 4 x mi350x"]
    assert told["versions"][0] == "cuda 1.2, mlcommons-loadgen 6.0.17"
    assert "E2E p99" not in told, "no run has it"


def test_figures_of_another_unit_have_no_ratio(a_run: Any) -> None:
    told = cells(read_runs([a_run("a"), a_run("b", metric="samples/s")]))
    assert told["value"][1] == "12,000.00 samples/s"


def test_a_run_without_a_figure_leaves_its_place_empty(a_run: Any) -> None:
    failed = {"latency": None, "state": "failed", "fleet": None, "round": None}
    told = cells(read_runs([a_run("a", None, **failed), a_run("b", 5.0)]))
    assert told["value"] == ["-", "5.00 tokens/s"]
    assert told["round"] == ["-", "v6.1"]
    assert told["fleet"] == ["-", "8 x h200"]


def test_replicas_without_accelerators_are_named_by_pool(a_run: Any) -> None:
    replica = {"pool": "cpu", "engine": "fake", "engine_version": "9", "accelerator": None, "tensor_parallel": 1}
    told = cells(read_runs([a_run("a", fleet={"models": [{"name": "m", "replicas": [replica, replica]}]})]))
    assert told["fleet"] == ["2 x cpu (fake)"]
