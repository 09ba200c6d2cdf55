"""What the client of an online test can do: LoadGen's Server at 2,000 queries/s before an engine that answers at once.

The engine's own process takes part of the same two cores. Lateness is counted from LoadGen's own schedule.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deployments.engine.process import PROJECT_ROOT, free_port
from tests.support.processes import HOST, process

QPS = 2000
PASSES = 320  # of 128 prompts: 20 s
ROUNDS = 3


def server_run(url: str, *options: str) -> dict[str, Any]:
    """The summary of a quick Server run of gpt-oss, whatever its verdict."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "loadtest.server", "--benchmark", "gpt-oss", "--quick"]
        ended = subprocess.run(
            [*command, "--endpoint", url, "--out", folder, *options],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        found = list(Path(folder).rglob("summary.json"))
        if not found:
            raise RuntimeError(ended.stdout + ended.stderr)
        return dict(json.loads(found[0].read_text()))


def run() -> dict[str, float]:
    port = free_port(HOST)
    engine = process(
        [sys.executable, "-m", "tests.support.instant_engine", str(port)], f"http://{HOST}:{port}/v1/models"
    )
    with engine:
        runs = [
            server_run(f"http://{HOST}:{port}", "--target-qps", str(QPS), "--passes", str(PASSES))
            for _ in range(ROUNDS)
        ]
    return {
        "queries/s": statistics.median(run["samples_answered"] / run["seconds"] for run in runs),
        "lateness p50 ms": 1e3 * statistics.median(run["latency"]["lateness_s"]["p50"] for run in runs),
        "lateness p99 ms": 1e3 * statistics.median(run["latency"]["lateness_s"]["p99"] for run in runs),
        "TTFT p50 ms": 1e3 * statistics.median(run["latency"]["ttft_s"]["p50"] for run in runs),
        "client's cores": statistics.median(run["client_cores"] for run in runs),
        "answered": statistics.median(run["samples_answered"] for run in runs),
    }
