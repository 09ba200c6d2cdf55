from __future__ import annotations

import json
from typing import Any

import pytest

from loadtest.command import Refused
from loadtest.compare.runs import by_test, read_runs


def test_shortened_runs_and_toys_are_tests_of_their_own(a_run: Any) -> None:
    runs = read_runs(
        [
            a_run("whole"),
            a_run("quick", label="quick: not MLPerf"),
            a_run("toy", label="quick: not MLPerf", data_set={"embedded": True}),
            a_run("accuracy", mode="accuracy"),
            a_run("audit", compliance="TEST07"),
            a_run("again"),
        ]
    )
    tests = by_test(runs)
    assert [[run.number for run in members] for members in tests.values()] == [[1, 6], [2], [3], [4], [5]]
    assert [test.title for test in tests] == [
        "gpt-oss Server performance",
        "gpt-oss Server performance, quick",
        "gpt-oss Server performance, quick, embedded data",
        "gpt-oss Server accuracy",
        "gpt-oss Server performance TEST07",
    ]


def test_accelerators_are_those_of_the_model_under_test(a_run: Any) -> None:
    (run,) = read_runs([a_run("a", 1000.0, {"h200": 2, "mi350x": 3})])
    assert run.accelerators == {"h200": 2, "mi350x": 3}
    assert run.per_accelerator == 200.0


@pytest.mark.parametrize("fleet", [None, {"models": []}, {"models": [{"name": "other", "replicas": []}]}])
def test_a_fleet_that_tells_nothing_has_no_share(a_run: Any, fleet: Any) -> None:
    (run,) = read_runs([a_run("a", fleet=fleet)])
    assert run.per_accelerator is None


def test_no_figure_of_each_where_some_replicas_do_not_tell(a_run: Any) -> None:
    folder = a_run("a")
    summary = json.loads((folder / "summary.json").read_text())
    summary["fleet"]["models"][0]["replicas"][3]["accelerator"] = None
    (folder / "summary.json").write_text(json.dumps(summary))
    (run,) = read_runs([folder])
    assert not run.accelerators


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "quick: not MLPerf"}, ["quick"]),
        ({"data_set": {"embedded": True}}, ["embedded data"]),
        ({"not_submittable_because": ["fakes"]}, ["fakes"]),
        ({"verdict": "INVALID"}, ["it is INVALID"]),
        ({"state": "interrupted"}, ["it is interrupted"]),
        ({}, []),
    ],
)
def test_what_speaks_against_a_run(a_run: Any, changes: dict[str, Any], said: list[str]) -> None:
    (run,) = read_runs([a_run("a", **changes)])
    assert list(run.obstacles) == said


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"benchmark": "gpt-oss"}'])
def test_what_is_no_run_is_refused_by_name(a_run: Any, content: str | None) -> None:
    folder = a_run("damaged")
    (folder / "summary.json").unlink()
    if content is not None:
        (folder / "summary.json").write_text(content)
    with pytest.raises(Refused, match="damaged"):
        read_runs([folder])


def test_damaged_samples_are_refused_and_missing_ones_are_not(a_run: Any) -> None:
    folder = a_run("a")
    (folder / "samples.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match="damaged"):
        read_runs([folder])
    (folder / "samples.parquet").unlink()
    assert read_runs([folder])[0].timeline is None
