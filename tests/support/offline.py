"""Runs MLPerf Offline as a user does: a process of its own per test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deployments.engine.process import PROJECT_ROOT


def offline(benchmark: str, url: str, samples: int | None = None, data: Path | None = None) -> dict[str, Any]:
    """The summary of a quick Offline run. Raises RuntimeError with its output where it fails."""
    usual, longer = ["loadtest.offline", "--benchmark"], ["tests.support.long_quick", str(samples)]
    with tempfile.TemporaryDirectory() as folder:
        options = [benchmark, "--quick", "--endpoint", url, "--out", folder]
        given = [] if data is None else ["--data", str(data)]
        ended = subprocess.run(
            [sys.executable, "-m", *(usual if samples is None else longer), *options, *given],
            cwd=PROJECT_ROOT,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if ended.returncode != 0:
            raise RuntimeError(ended.stdout + ended.stderr)
        return dict(json.loads(next(Path(folder).rglob("summary.json")).read_text()))


def rate(summary: dict[str, Any]) -> float:
    """Samples per second, from the first sample's issue to the last one's answer."""
    return float(summary["samples_answered"] / summary["seconds"])
