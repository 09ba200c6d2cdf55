from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import Answer, Scenario
from loadtest.client import Outcome
from loadtest.compare import main, published_rows, read_run, rows
from loadtest.published import PUBLISHED
from loadtest.results import write_samples


def a_run(folder: Path, value: float = 12_000.0, accelerators: int = 8, **changes: Any) -> Path:
    folder.mkdir()
    replicas = [{"accelerator": "h200", "tensor_parallel": 1} for _ in range(accelerators)]
    summary = {
        "label": "official settings",
        "state": "complete",
        "verdict": "VALID",
        "benchmark": "gpt-oss",
        "scenario": "Server",
        "mode": "performance",
        "metric": "tokens/s",
        "value": value,
        "model": "m",
        "latency": {"ttft_s": {"p99": 0.9}, "tpot_s": {"p99": 0.06}, "e2e_s": None},
        "fleet": {"models": [{"name": "m", "replicas": replicas}, {"name": "other", "replicas": replicas}]},
        "caches": "off",
    }
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    answers = [Outcome(n, n, float(n), n + 2.0, 1, Answer(b"", 9, ""), due=float(n), first=n + 0.5) for n in range(5)]
    write_samples(folder, answers, "official")
    return folder


def test_ratios_are_against_the_first_run_of_the_same_test(tmp_path: Path) -> None:
    runs = [
        read_run(a_run(tmp_path / "a", 10_000)),
        read_run(a_run(tmp_path / "b", 12_500)),
        read_run(a_run(tmp_path / "c", 7, scenario="Offline", metric="samples/s")),
        read_run(a_run(tmp_path / "d", 14, scenario="Offline", metric="samples/s")),
    ]
    told = rows(runs)
    assert [row[6] for row in told] == ["-", "1.250", "-", "2.000"]
    assert told[0][7:10] == ("8 x h200", "1,250.00", "0.900 s")
    assert told[0][11] == "-"


def test_a_run_stands_beside_those_of_its_own_accelerator(tmp_path: Path) -> None:
    beside = published_rows([read_run(a_run(tmp_path / "a", 12_051.6, accelerators=4))])
    red_hat = next(row for row in beside if row[1:3] == ("Red Hat", "8 x h200"))
    assert red_hat[-2:] == ("3,012.90", "1.00"), "a GPU against a GPU, whatever their numbers"
    assert all(row[-1] == "-" for row in beside if "h200" not in row[2])
    assert {row[3] for row in beside} == {"gpt-oss Server"}


@pytest.mark.parametrize(
    "changes",
    [{"label": "quick: not MLPerf"}, {"data_set": {"embedded": True}}, {"not_submittable_because": ["fakes"]}],
)
def test_toys_are_compared_with_nothing_published(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_run(tmp_path / "a", **changes)
    assert all(row[-1] == "-" for row in published_rows([read_run(folder)]))
    assert main([str(folder)]) == 0
    assert "a is not comparable with published results" in capsys.readouterr().out


def test_a_page_is_whole_and_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [a_run(tmp_path / "<a>"), a_run(tmp_path / "b", label="quick & dirty")]
    assert main([*map(str, runs), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "&lt;a&gt;" in page
    assert "<a>" not in page
    assert page.count("<svg") == 4, "values, TTFT, TPOT and E2E"
    assert "page:" in capsys.readouterr().out


def test_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    (tmp_path / "summary.json").write_text("[]")
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("not a run's folder") == 2


def test_what_is_published_is_of_tests_that_there_are() -> None:
    for one in PUBLISHED:
        assert one.benchmark in BENCHMARKS
        assert one.scenario in {scenario.value for scenario in Scenario}
        assert one.value > 0
        assert one.count > 0
    keys = [(one.round, one.submitter, one.accelerator, one.count, one.benchmark, one.scenario) for one in PUBLISHED]
    assert len(set(keys)) == len(keys)
