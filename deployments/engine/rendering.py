"""How a vLLM engine renders prompts, as far as a gateway can do the same: by its checkpoint and its settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from cluster.fleet import Task
from deployments.engine.backend import EngineSpec

BY_MODEL_TYPE = {"gpt_oss": "harmony"}
OTHERS = "template"

CHANGING_FLAGS = frozenset(
    {
        "chat-template",
        "chat-template-content-format",
        "code-revision",
        "default-chat-template-kwargs",
        "enable-prompt-embeds",
        "exclude-tools-when-tool-choice-none",
        "hf-config-path",
        "hf-overrides",
        "interleave-mm-strings",
        "media-io-kwargs",
        "mm-processor-kwargs",
        "skip-tokenizer-init",
        "tokenizer",
        "tokenizer-mode",
        "tokenizer-revision",
        "trust-remote-code",
        "trust-request-chat-template",
        "trust-request-mm-kwargs",
    }
)
"""vLLM's flags that change what a prompt becomes: the gateway reads the checkpoint alone."""

CHANGING_VARIABLES = frozenset({"VLLM_SYSTEM_START_DATE", "VLLM_GPT_OSS_HARMONY_SYSTEM_INSTRUCTIONS"})


def renderer_of(spec: EngineSpec) -> str:
    """The name of the gateway's renderer for this engine; '' where its prompts are not rendered there."""
    flags = {flag.replace("_", "-") for flag in spec.flags}
    variables = (os.environ.keys() - spec.removed_environment) | spec.environment.keys()
    if spec.task == Task.TRANSCRIPTION or flags & CHANGING_FLAGS or variables & CHANGING_VARIABLES:
        return ""
    model_type = _config(spec).get("model_type")
    return BY_MODEL_TYPE.get(model_type, OTHERS) if isinstance(model_type, str) else ""


def _config(spec: EngineSpec) -> dict[str, Any]:
    """config.json of a folder, or of a hub repository that the engine has downloaded; empty where there is none."""
    file: Any = Path(spec.checkpoint) / "config.json"
    if not file.is_file():
        try:
            file = try_to_load_from_cache(spec.checkpoint, "config.json", revision=spec.revision)
        except ValueError:  # no name that a hub could know
            return {}
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8")) if isinstance(file, str | Path) else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
