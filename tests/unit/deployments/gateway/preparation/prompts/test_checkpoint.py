from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.gateway.preparation.prompts.checkpoint import CheckpointUnreadable, read
from tests.support.tiny_checkpoint import TEMPLATE, tokenizer


def test_a_checkpoint_whose_tokenizer_is_told_by_its_configuration_alone(tmp_path: Path) -> None:
    """Transformers then imports the model family's own modules, and with them torchvision."""
    (tmp_path / "tokenizer.json").write_text(tokenizer().to_str())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "<|im_end|>"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 261}))
    found = read(str(tmp_path))
    assert found.template == TEMPLATE
    assert found.config["model_type"] == "llama"
    assert found.special_tokens["eos_token"] == "<|im_end|>"
    assert json.loads(found.tokenizer)["model"]["type"] == "BPE"


def test_what_is_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnreadable):
        read(str(tmp_path))
