"""A short replay of a mix on all three real models: every request answered, and counted as vLLM counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from deployments.engine.process import PROJECT_ROOT
from tests.e2e.embedded.conftest import RunningFleet

TEXT = "model=gpt-oss:shared-prefix:count=16,rate=4,groups=2,system=4096,question=800,output=160"
PICTURES = "model=qwen3-vl:images:count=8,rate=2,stock=3,most=2,sizes=96x96/64x128,system=320,question=320,output=80"
SPEECH = "model=whisper:audio:count=4,rate=0.5,seconds=3,longest=6"


def replay(fleet: RunningFleet, out: Path, *options: str) -> tuple[dict[str, Any], pd.DataFrame]:
    ended = subprocess.run(
        [sys.executable, "-m", "loadtest.replay", "--endpoint", fleet.url, "--out", str(out), *options],
        cwd=PROJECT_ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = out.iterdir()
    return json.loads((folder / "summary.json").read_text()), pd.read_parquet(folder / "requests.parquet")


def test_a_mix_on_all_three_models(fleet: RunningFleet, tmp_path: Path) -> None:
    options = ["--trace", TEXT, "--trace", PICTURES, "--trace", SPEECH, "--scale", "0.125", "--slo-ttft", "60"]
    summary, requests = replay(fleet, tmp_path, *options)
    assert (summary["state"], summary["samples_answered"], summary["samples_failed"]) == ("complete", 28, 0), summary
    text, pictures, speech = (requests[requests["model"] == name] for name in ("gpt-oss", "qwen3-vl", "whisper"))
    # Token ids are exactly as many as the scaled trace has, and answers exactly as long.
    assert set(text["route"]) == {"/v1/completions"}
    assert set(text["input_tokens"]) == {612}
    assert set(text["output_tokens"]) == {20}
    assert set(pictures["route"]) == {"/v1/chat/completions"}
    assert set(pictures["output_tokens"]) == {10}
    assert (pictures["input_tokens"] / pictures["asked_input_tokens"]).between(0.7, 1.9).all()
    assert set(speech["route"]) == {"/v1/audio/transcriptions"}
    assert speech["output_tokens"].gt(0).all()
    # Two groups of 512 shared tokens in blocks of 32: all but the first of a group may find them, and nothing more.
    assert text["cached_tokens"].max() == 512
    assert set(summary["by_model"]) == {"gpt-oss", "qwen3-vl", "whisper"}
    assert all(sum(told["answers"].values()) for told in summary["replicas"].values())


def test_chat_prompts_are_about_as_long_as_the_trace_says(fleet: RunningFleet, tmp_path: Path) -> None:
    trace = "model=gpt-oss:poisson:count=6,rate=4,input=400,output=10"
    _, requests = replay(fleet, tmp_path, "--trace", trace, "--route", "chat")
    assert set(requests["route"]) == {"/v1/chat/completions"}
    assert requests["failure"].isna().all()
    assert ((requests["input_tokens"] - 400) / 400).abs().max() < 0.4, "the template's tokens come on top"
