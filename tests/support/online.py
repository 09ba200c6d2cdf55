"""`python -m loadtest.server` and its like as a user starts them: a process per test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deployments.engine.process import PROJECT_ROOT

TIMEOUT_S = 120


@dataclass(frozen=True)
class Ended:
    """A command that ended. `summary` is empty where it left none."""

    code: int
    output: str
    folder: Path
    summary: dict[str, Any]

    @property
    def samples(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "samples.parquet")


def start(module: str, *options: str) -> subprocess.Popen[str]:
    """With a Ray of its own, should it need one, and the SIGINT of a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=PROJECT_ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def end(process: subprocess.Popen[str], out: Path) -> Ended:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    folders = sorted(path for path in out.iterdir() if path.is_dir()) if out.is_dir() else []
    folder = folders[-1] if folders else out
    file = folder / "summary.json"
    return Ended(process.returncode, output, folder, json.loads(file.read_text()) if file.exists() else {})


def run(module: str, out: Path, *options: str) -> Ended:
    return end(start(module, "--out", str(out), *options), out)
