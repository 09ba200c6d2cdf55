from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from loadtest.benchmarks.base import Answer
from loadtest.client import Outcome
from loadtest.results import write_samples

MakeRun = Callable[..., Path]


@pytest.fixture
def a_run(tmp_path: Path) -> MakeRun:
    """Writes the folder of a finished official run on GPUs, with what is asked of its summary."""

    def make(name: str, value: float | None = 12_000.0, on: Mapping[str, int] | None = None, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        replicas = [
            {"pool": what, "engine": "cuda", "engine_version": "1.2", "accelerator": what, "tensor_parallel": 1}
            for what, count in ({"h200": 8} if on is None else on).items()
            for _ in range(count)
        ]
        models = [{"name": name, "replicas": replicas} for name in ("m", "other")]
        summary = {
            "label": "official settings",
            "state": "complete",
            "verdict": "VALID",
            "benchmark": "gpt-oss",
            "scenario": "Server",
            "mode": "performance",
            "round": "v6.1",
            "metric": "tokens/s",
            "value": value,
            "model": "m",
            "samples_issued": 5,
            "samples_answered": 5,
            "latency": {
                "ttft_s": {"p50": 0.25, "p90": 0.5, "p99": (value or 0) / 1e4},
                "tpot_s": {"p99": 0.06},
                "e2e_s": None,
            },
            "limits": {"ttft_s": 3.0, "tpot_s": 0.08, "e2e_s": None},
            "fleet": {"models": models},
            "caches": "off",
            "versions": {"mlcommons-loadgen": "6.0.17"},
        }
        (folder / "summary.json").write_text(json.dumps(summary | changes))
        answers = [
            Outcome(n, n, float(n), n + 2.0, 1, Answer(b"", 9, ""), due=float(n), first=n + 0.5) for n in range(5)
        ]
        write_samples(folder, answers, "official")
        return folder

    return make
