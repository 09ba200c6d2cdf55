"""The commands of the load test as a user starts them: a process each."""

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


def start(module: str, *options: str, ray: str = "local") -> subprocess.Popen[str]:
    """In a session of its own, with the SIGINT of a terminal. `ray`: the cluster's address; a new one by default."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=PROJECT_ROOT,
        env={**os.environ, "RAY_ADDRESS": ray},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def exit_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its status and all that it said."""
    output, _ = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, output


def end(process: subprocess.Popen[str], out: Path) -> Ended:
    code, output = exit_of(process)
    folders = sorted(path for path in out.iterdir() if path.is_dir()) if out.is_dir() else []
    folder = folders[-1] if folders else out
    file = folder / "summary.json"
    return Ended(code, output, folder, json.loads(file.read_text()) if file.exists() else {})


def run(module: str, out: Path, *options: str) -> Ended:
    return end(start(module, "--out", str(out), *options), out)
