from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.backend import EngineSpec
from deployments.engine.rendering import CHANGING_FLAGS, renderer_of


def spec(checkpoint: Any, **changes: Any) -> EngineSpec:
    fields: dict[str, Any] = {"names": ("m",), "task": "chat", "engine": "cpu", "backend": "vllm", "slots": 1}
    return EngineSpec(**{**fields, "checkpoint": str(checkpoint), **changes})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    return tmp_path


def test_the_checkpoints_architecture_decides(checkpoint: Path) -> None:
    assert renderer_of(spec(checkpoint, task="vision-chat")) == "template"
    (checkpoint / "config.json").write_text(json.dumps({"model_type": "gpt_oss"}))
    assert renderer_of(spec(checkpoint)) == "harmony"
    assert renderer_of(spec(checkpoint, task="transcription")) == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_type": 7}'])
def test_an_unreadable_configuration_has_no_renderer(checkpoint: Path, content: str) -> None:
    (checkpoint / "config.json").write_text(content)
    assert renderer_of(spec(checkpoint)) == ""


@pytest.mark.parametrize("name", ["nobody/no-such-model", "../no such folder", ""])
def test_a_checkpoint_that_is_not_here_has_no_renderer(name: str) -> None:
    assert renderer_of(spec(name)) == ""


@pytest.mark.parametrize("flag", ["chat-template", "chat_template_content_format", "hf-overrides"])
def test_flags_that_change_prompts(checkpoint: Path, flag: str) -> None:
    assert renderer_of(spec(checkpoint, flags={flag: "x"})) == ""
    assert renderer_of(spec(checkpoint, flags={"dtype": "float32"})) == "template"


def test_variables_that_change_prompts(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_SYSTEM_START_DATE", "2025-01-01")
    assert renderer_of(spec(checkpoint)) == ""
    assert renderer_of(spec(checkpoint, removed_environment=frozenset({"VLLM_SYSTEM_START_DATE"}))) == "template"
    monkeypatch.delenv("VLLM_SYSTEM_START_DATE")
    assert renderer_of(spec(checkpoint, environment={"VLLM_SYSTEM_START_DATE": "2025-01-01"})) == ""


def test_flags_are_named_as_vllm_names_them() -> None:
    assert all(flag == flag.lower() and "_" not in flag for flag in CHANGING_FLAGS)
