"""Build: the tiny GPT-OSS, whose file holds only the vocabulary rows that it was trained with, becomes a checkpoint."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.harmony_tokenizer import VOCABULARY_SIZE, harmony_tokenizer, read_ranks
from cluster.checkpoints.progress import Progress
from cluster.checkpoints.safetensors_file import RawTensor, read_tensors, write_tensors

RANKS = "o200k_base.tiktoken"
RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""The SHA-256 that tiktoken and openai_harmony themselves ask of the file."""

ENCODINGS = "encodings"
VOCABULARY_ROWS = ("model.embed_tokens.weight", "lm_head.weight")
END_OF_TEXT, RETURN, CALL = 199_999, 200_002, 200_012


def build(files: Mapping[str, Path], folder: Path, report: Progress) -> None:
    ranks = lzma.decompress(files[f"{RANKS}.xz"].read_bytes())
    if (digest := hashlib.sha256(ranks).hexdigest()) != RANKS_SHA256:
        raise SourceUnavailable(f"{RANKS} has SHA-256 {digest} instead of {RANKS_SHA256}")
    (folder / ENCODINGS).mkdir()
    (folder / ENCODINGS / RANKS).write_bytes(ranks)
    report.step(f"tiny-gpt-oss-sums: widening the vocabulary to {VOCABULARY_SIZE:,} tokens")
    write_tensors(folder / "model.safetensors", expand(read_tensors(files["compact.safetensors"])))
    report.step("tiny-gpt-oss-sums: building the tokenizer")
    tokenizer = json.dumps(harmony_tokenizer(read_ranks(ranks)), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "chat_template.jinja").write_bytes(files["chat_template.jinja"].read_bytes())
    for name, content in {
        "config.json": CONFIG,
        "generation_config.json": GENERATION_CONFIG,
        "tokenizer_config.json": TOKENIZER_CONFIG,
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")


def expand(compact: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
    """Puts the vocabulary rows at the ids of `used_ids`, [used] int64, and zeros everywhere else.

    In: [used, width] bfloat16 rows. Out: [201088, width]. Every other tensor stays as it is.
    """
    ids = np.frombuffer(compact["used_ids"].data, "<i8")
    tensors = {name: tensor for name, tensor in compact.items() if name != "used_ids"}
    for name in VOCABULARY_ROWS:
        used, width = tensors[name].shape
        rows = np.zeros((VOCABULARY_SIZE, width), "<u2")
        rows[ids] = np.frombuffer(tensors[name].data, "<u2").reshape(used, width)
        tensors[name] = RawTensor(tensors[name].dtype, rows.shape, rows.tobytes())
    return tensors


CONFIG: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "dtype": "bfloat16",
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 64,
    # vLLM takes this order for granted: even layers slide, odd ones see everything.
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "max_position_embeddings": 4096,
    # vLLM's GPT-OSS reads YaRN's parameters whatever the type says; with factor 1 they change nothing.
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 150_000.0,
        "factor": 1.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 4096,
        "truncate": False,
    },
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "attention_bias": True,
    "attention_dropout": 0.0,
    "swiglu_limit": 7.0,
    "router_aux_loss_coef": 0.0,
    "tie_word_embeddings": False,
    "bos_token_id": 199_998,
    "eos_token_id": RETURN,
    "pad_token_id": END_OF_TEXT,
}
GENERATION_CONFIG = {
    "bos_token_id": 199_998,
    "eos_token_id": [RETURN, CALL, END_OF_TEXT],
    "pad_token_id": END_OF_TEXT,
    "do_sample": False,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|return|>",
    "pad_token": "<|endoftext|>",
    "clean_up_tokenization_spaces": False,
    "model_max_length": 4096,
}
