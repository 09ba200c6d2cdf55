from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks import BENCHMARKS, benchmark
from loadtest.benchmarks.base import Scenario
from loadtest.compare.published import PUBLISHED, UNITS
from loadtest.compare.runs import Run, read_runs
from loadtest.compare.standing import HEADINGS, Standing, best_of_each, measured_as_published, remarks, standings

PATH = Path("a")


def named(found: list[Standing], submitter: str, **accelerators: int) -> Standing:
    (standing,) = (s for s in found if s.one.submitter == submitter and s.one.accelerators == accelerators)
    return standing


def test_a_gpu_is_held_against_a_gpu_whatever_their_numbers(a_run: Any) -> None:
    (run,) = read_runs([a_run("a", 12_051.6, {"h200": 4})])
    found = standings([run])
    red_hat = named(found, "Red Hat", h200=8)
    assert red_hat is found[0], "the comparable ones stand first"
    assert red_hat.row[-2:] == ("comparable with 1", "1: 1.00")
    assert all(standing.row[-2:] == ("-", "-") for standing in found[1:])
    assert all(len(standing.row) == len(HEADINGS) for standing in found)


def test_a_mixed_fleet_stands_beside_one_of_the_same_mixture(a_run: Any) -> None:
    mixed, other = read_runs(
        [a_run("a", 36_678.8, {"h200": 4, "mi350x": 4}), a_run("b", 40_000.0, {"h200": 2, "mi350x": 6})]
    )
    cisco = named(standings([mixed, other]), "Cisco", h200=8, mi350x=8)
    assert list(cisco.comparable) == [mixed]
    assert cisco.row[-1] == "1: 1.00"


def test_where_nothing_is_comparable_the_nearest_is_named(a_run: Any) -> None:
    (run,) = read_runs([a_run("a", 8 * 3_000.0, {"h100": 8})])
    first = standings([run])[0]
    assert first.one.accelerators == {"h200": 8}, "3,012.9 of each"
    assert first.row[-2:] == ("other hardware, nearest to 1", "-")


@given(st.floats(1.0, 1e5))
def test_no_published_result_is_nearer_than_the_nearest(each: float) -> None:
    replica = {"accelerator": "h100", "tensor_parallel": 1}
    summary = {
        **{"label": "official", "state": "complete", "verdict": "VALID", "value": each, "model": "m"},
        **{"benchmark": "gpt-oss", "scenario": "Offline", "mode": "performance", "metric": "tokens/s"},
        "fleet": {"models": [{"name": "m", "replicas": [replica]}]},
    }
    found = standings([Run(1, PATH, summary, None)])
    (nearest,) = (standing.one.per_accelerator for standing in found if standing.nearest)
    factor = max(each / nearest, nearest / each)
    others = [one.per_accelerator for one in PUBLISHED if (one.benchmark, one.scenario) == ("gpt-oss", "Offline")]
    assert all(max(each / other, other / each) >= factor * (1 - 1e-9) for other in others)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "quick: not MLPerf"},
        {"data_set": {"embedded": True}},
        {"not_submittable_because": ["fakes"]},
        {"verdict": "INVALID"},
        {"fleet": None},
    ],
)
def test_toys_and_the_like_stand_beside_none(changes: dict[str, Any], a_run: Any) -> None:
    runs = read_runs([a_run("a", **changes)])
    assert not any(standing.comparable or standing.nearest for standing in standings(runs))
    assert "published result" in remarks(runs)[0]
    assert remarks(runs)[0].startswith("1 a: ")


def test_of_hardware_that_no_run_has_only_the_best_is_shown(a_run: Any) -> None:
    runs = read_runs([a_run("a")])
    found = standings(runs)
    assert found[1:] == best_of_each(found[1:])
    assert len(standings(read_runs([a_run("b", on={"mi355x": 8})]))) > len(found), "all that are comparable"


def test_only_performance_runs_of_published_tests_stand_there(a_run: Any) -> None:
    runs = read_runs(
        [
            a_run("server"),
            a_run("quick", label="quick: not MLPerf"),
            a_run("accuracy", mode="accuracy"),
            a_run("audit", compliance="TEST07"),
            a_run("unknown", benchmark="whisper", scenario="Continuous"),
            a_run("clips", benchmark="whisper", scenario="Offline"),
        ]
    )
    told = {test: [run.number for run in members] for test, members in measured_as_published(runs).items()}
    assert told == {"gpt-oss Server": [1, 2], "whisper Offline": [6]}
    assert remarks(runs)[-1] == "these are runs of different tests: ratios are within a test"


def test_what_is_published_is_of_tests_that_there_are() -> None:
    for one in PUBLISHED:
        assert one.benchmark in BENCHMARKS
        assert one.scenario in {scenario.value for scenario in Scenario}
        assert one.value > 0
        assert all(count > 0 for count in one.accelerators.values())
    keys = [(one.round, one.submitter, *one.accelerators.items(), one.benchmark, one.scenario) for one in PUBLISHED]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("name", "scenario"), UNITS)
def test_published_units_are_those_of_our_runs(name: str, scenario: str) -> None:
    metric = benchmark(name).official.metric
    assert UNITS[name, scenario] == (metric if scenario == "Offline" else metric.replace("samples", "queries"))


def test_figures_of_each_as_red_hat_and_others_have_them() -> None:
    each = {(o.submitter, *o.accelerators, o.benchmark, o.scenario): o.per_accelerator for o in PUBLISHED}
    assert each["Red Hat", "h200", "gpt-oss", "Offline"] == pytest.approx(3_585, abs=0.5)
    assert each["Red Hat", "b200", "gpt-oss", "Server"] == pytest.approx(8_948.5, abs=0.5)
    assert each["Supermicro and Red Hat", "mi350x", "gpt-oss", "Server"] == pytest.approx(7_296.7, abs=0.1)
    assert each["Red Hat", "l40s", "whisper", "Offline"] == pytest.approx(1_823, abs=0.5)
    assert each["Red Hat", "h200", "qwen3-vl", "Server"] == pytest.approx(1.38, abs=0.01)
