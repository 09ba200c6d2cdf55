"""Every test that the rounds ask for, shortened, against real engines; and a rehearsal of their submission."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deployments.engine.process import PROJECT_ROOT
from loadtest.loadgen.log import find_log, read_entries
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.run_folders import SYSTEM

TIMEOUT_S = 280
LEAST_ACCURACY = {"whisper": 97.0, "qwen3-vl": 0.94, "gpt-oss": 95.0}
ONLINE = [
    ("qwen3-vl", "interactive"),
    pytest.param("gpt-oss", "server", marks=pytest.mark.slow),
    pytest.param("gpt-oss", "interactive", marks=pytest.mark.slow),
    pytest.param("qwen3-vl", "server", marks=pytest.mark.slow),
]
ALL_ONLINE = [(benchmark, scenario) for benchmark in ("gpt-oss", "qwen3-vl") for scenario in ("server", "interactive")]


class Runs:
    """Runs of the load test's commands against the fleet, each once however many tests look at it."""

    def __init__(self, fleet: RunningFleet, folder: Path) -> None:
        self._fleet, self.folder = fleet, folder
        self._common = ("--endpoint", fleet.url, "--out", str(folder))
        self._ended: dict[tuple[str, ...], tuple[int, str, Path]] = {}

    def __call__(self, module: str, *options: str) -> tuple[int, str, Path]:
        """Exit status, output, and the folder that it made."""
        command = (module, *options)
        if command not in self._ended:
            self._ended[command] = self._run(*command)
        return self._ended[command]

    def _run(self, module: str, *options: str) -> tuple[int, str, Path]:
        before = set(self.folder.iterdir())
        ended = subprocess.run(
            [sys.executable, "-m", module, "--quick", *self._common, *options],
            cwd=PROJECT_ROOT,
            env=os.environ | {"RAY_ADDRESS": self._fleet.ray_address},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        made = set(self.folder.iterdir()) - before
        assert len(made) == 1, ended.stdout + ended.stderr
        return ended.returncode, ended.stdout + ended.stderr, made.pop()

    def offline(self, benchmark: str) -> tuple[int, str, Path]:
        return self("loadtest.offline", "--benchmark", benchmark)

    def accuracy(self, benchmark: str, scenario: str) -> tuple[int, str, Path]:
        # Nothing is timed here, so that all may be issued in a second.
        rate = [] if scenario == "offline" else ["--target-qps", "100"]
        return self("loadtest.accuracy", "--benchmark", benchmark, "--scenario", scenario, *rate)


@pytest.fixture(scope="module")
def run(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(fleet, tmp_path_factory.mktemp("results"))


def summary_of(folder: Path) -> dict[str, Any]:
    """Of a whole run whose LoadGen log holds no errors."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "complete"
    assert summary["samples_answered"] == summary["samples_issued"] > 0
    errors = [entry for entry in read_entries(find_log(folder, "detail.txt")) if entry["metadata"].get("is_error")]
    assert errors == []
    return summary


@pytest.mark.parametrize("benchmark", ["gpt-oss", "qwen3-vl", pytest.param("whisper", marks=pytest.mark.slow)])
def test_offline_performance(benchmark: str, run: Runs) -> None:
    code, output, folder = run.offline(benchmark)
    summary = summary_of(folder)
    assert (code, summary["verdict"]) == (0, "VALID"), output
    assert summary["label"].startswith("quick")
    assert summary["accuracy"]["value"] >= LEAST_ACCURACY[benchmark]
    assert len(pd.read_parquet(folder / "samples.parquet")) == summary["samples_issued"]
    assert "not submittable" in (folder / "report.html").read_text()


@pytest.mark.parametrize(("benchmark", "scenario"), ONLINE)
def test_online_performance(benchmark: str, scenario: str, run: Runs) -> None:
    code, output, folder = run(f"loadtest.{scenario}", "--benchmark", benchmark)
    summary = summary_of(folder)
    # Two cores, busy with whatever else, need not keep the limits; then they are named.
    assert (code == 0) == (summary["verdict"] == "VALID") == (not summary["reasons"]), output
    assert all("limit" in reason or "early stopping" in reason.lower() for reason in summary["reasons"]), output
    assert summary["value"] > 0
    assert summary["latency"]["e2e_s"]["p99"] > 0
    assert summary["latency"]["ttft_s"]["p50"] > 0, "answers are streamed"
    assert summary["accuracy"]["value"] >= LEAST_ACCURACY[benchmark]
    assert bool(summary["unofficial"]) == ((benchmark, scenario) == ("qwen3-vl", "interactive"))


@pytest.mark.parametrize(
    ("benchmark", "scenario"),
    [
        ("whisper", "offline"),
        pytest.param("qwen3-vl", "offline", marks=pytest.mark.slow),
        pytest.param("gpt-oss", "offline", marks=pytest.mark.slow),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ALL_ONLINE),
    ],
)
def test_accuracy(benchmark: str, scenario: str, run: Runs) -> None:
    code, output, folder = run.accuracy(benchmark, scenario)
    summary = summary_of(folder)
    assert code == 0, output
    assert "PASS (a toy figure" in output
    assert summary["accuracy"]["value"] >= LEAST_ACCURACY[benchmark]
    assert "hash=" in (folder / "accuracy.txt").read_text()


@pytest.mark.slow
def test_speech_as_it_comes_in(run: Runs) -> None:
    code, output, folder = run("loadtest.server", "--benchmark", "whisper", "--target-qps", "2")
    summary = json.loads((folder / "summary.json").read_text())
    assert (code, summary["samples_answered"]) == (0, 10), output
    for way, streamed in (("streamed", True), ("whole answers", False)):
        figures = summary["ways"][way]
        assert figures["real_time_factor"]["p50"] > 0
        assert (figures["ttft_s"] is not None) == streamed
        assert figures["accuracy"]["value"] >= LEAST_ACCURACY["whisper"]


@pytest.mark.slow
@pytest.mark.parametrize("test", ["TEST07", "TEST09"])
def test_compliance_of_gpt_oss(test: str, run: Runs) -> None:
    code, output, folder = run("loadtest.compliance", "--test", test, "--scenario", "server", "--target-qps", "100")
    assert summary_of(folder)["compliance"] == test
    # The toy is right but says a tenth as much as the reference.
    assert (code, f"{test}: {'PASS' if test == 'TEST07' else 'FAIL'}" in output) == (0 if test == "TEST07" else 1, True)


@pytest.mark.slow
def test_offline_runs_make_a_rehearsal_tree(run: Runs, tmp_path: Path) -> None:
    assert_rehearsal_tree(run, [], tmp_path)


@pytest.mark.slow
def test_runs_of_all_scenarios_make_a_rehearsal_tree(run: Runs, tmp_path: Path) -> None:
    accuracy = [("qwen3-vl", "offline"), ("gpt-oss", "offline"), *ALL_ONLINE]
    performance = [run(f"loadtest.{scenario}", "--benchmark", benchmark)[2] for benchmark, scenario in ALL_ONLINE]
    assert_rehearsal_tree(run, [*performance, *(run.accuracy(*one)[2] for one in accuracy)], tmp_path)


def assert_rehearsal_tree(run: Runs, online: Sequence[Path], tmp_path: Path) -> None:
    """Offline runs, Whisper's compliance test and `online` are refused as a submission, and make a rehearsal."""
    performance, *others = [run.offline(benchmark)[2] for benchmark in LEAST_ACCURACY]
    accuracy = run.accuracy("whisper", "offline")[2]
    runs = ["--accuracy-run", str(accuracy), "--performance-run", str(performance)]
    _, output, folder = run("loadtest.compliance", "--test", "TEST01", *runs)
    assert summary_of(folder)["compliance"] == "TEST01"
    assert "entries that differ: 0\nTEST PASS" in output or "within 1%" in output, output
    assert "Reference score" in (folder / "verify_performance.txt").read_text()
    system = tmp_path / "laptop.json"
    system.write_text(json.dumps(SYSTEM))
    mlperf = [str(path) for path in (performance, accuracy, folder, *others, *online)]
    command = [sys.executable, "-m", "loadtest.submission", "--runs", *mlperf, "--system", str(system)]
    command += ["--submitter", "Us", "--division", "closed", "--out", str(tmp_path / "tree")]
    refused = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    for reason in ("a quick run", "the embedded data set is a toy", "caches are on"):
        assert reason in refused.stderr
    ended = subprocess.run([*command, "--rehearsal"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    models = tmp_path / "tree/closed/Us/results/laptop"
    assert {path.name for path in models.iterdir()} == {"whisper", "qwen3-vl-235b-a22b", "gpt-oss-120b"}
