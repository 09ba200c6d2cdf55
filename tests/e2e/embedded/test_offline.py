"""MLPerf Offline, shortened, against real engines: valid, accurate, each sample once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from deployments.engine.process import PROJECT_ROOT
from tests.e2e.embedded.conftest import RunningFleet

LEAST_ACCURACY = {"whisper": 97.0, "qwen3-vl": 0.94, "gpt-oss": 95.0}


@pytest.mark.parametrize("benchmark", LEAST_ACCURACY)
def test_offline(fleet: RunningFleet, benchmark: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtest.offline", "--benchmark", benchmark, "--quick"]
    ended = subprocess.run(
        [*command, "--endpoint", fleet.url, "--out", str(tmp_path)],
        cwd=PROJECT_ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = tmp_path.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"] == "VALID"
    assert summary["label"].startswith("quick")
    assert summary["accuracy"]["value"] >= LEAST_ACCURACY[benchmark]
    samples = pd.read_parquet(folder / "samples.parquet")
    assert len(samples) == summary["samples_issued"] == summary["samples_answered"]
    (detail,) = folder.rglob("*mlperf_log_detail.txt")
    assert detail.stat().st_size > 0
    assert "not submittable" in (folder / "report.html").read_text()
