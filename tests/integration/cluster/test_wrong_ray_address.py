"""Every command that joins Ray, as a user starts it with the dashboard's URL in RAY_ADDRESS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.ray_address import REMEDY
from deployments.engine.process import PROJECT_ROOT

DASHBOARD = "http://127.0.0.1:8265"
MESSAGE = f"RAY_ADDRESS is '{DASHBOARD}', a dashboard URL; {REMEDY}"
PYTHON = sys.executable

COMMANDS = {
    "doctor": [PYTHON, "-m", "cluster", "doctor"],
    "status": [PYTHON, "-m", "cluster", "status"],
    "loadtest.offline": [PYTHON, "-m", "loadtest.offline", "--benchmark", "gpt-oss", "--quick", "--fleet", "embedded"],
    "serve run": [str(Path(PYTHON).parent / "serve"), "run", "deployments:app"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_dashboard_url_for_ray_is_answered_with_one_line_that_says_what_to_write(name: str, tmp_path: Path) -> None:
    command = [*COMMANDS[name], *(["--out", str(tmp_path)] if name.startswith("loadtest") else [])]
    ended = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env={**os.environ, "RAY_ADDRESS": DASHBOARD},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    printed = ended.stdout + ended.stderr
    assert [line.removeprefix("error: ") for line in printed.splitlines() if "RAY_ADDRESS" in line] == [MESSAGE]
    assert "Traceback" not in printed
