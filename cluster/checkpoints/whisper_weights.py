"""Whisper's tensors under transformers' names, from CTranslate2's, which fuses the projections of one input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cluster.checkpoints.ctranslate2_file import Array


def hugging_face_weights(source: Mapping[str, Array]) -> dict[str, Array]:
    """Renames and splits every weight of a Whisper model. Raises KeyError where one is missing."""
    return dict(_weights(source))


def _weights(source: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    def norm(target: str, name: str) -> Iterator[tuple[str, Array]]:
        yield f"{target}.weight", source[f"{name}/gamma"]
        yield f"{target}.bias", source[f"{name}/beta"]

    def linear(target: str, name: str) -> Iterator[tuple[str, Array]]:
        yield f"{target}.weight", source[f"{name}/weight"]
        yield f"{target}.bias", source[f"{name}/bias"]

    def projections(target: str, letters: str, name: str) -> Iterator[tuple[str, Array]]:
        weights = np.split(source[f"{name}/weight"], len(letters))
        biases = np.split(source[f"{name}/bias"], len(letters))
        for letter, weight, bias in zip(letters, weights, biases, strict=True):
            yield f"{target}.{letter}_proj.weight", weight
            # Whisper's keys have no bias; the fused tensor holds zeros in its place.
            if letter != "k":
                yield f"{target}.{letter}_proj.bias", bias

    yield "model.decoder.embed_tokens.weight", source["decoder/embeddings/weight"]
    for side in ("encoder", "decoder"):
        yield f"model.{side}.embed_positions.weight", source[f"{side}/position_encodings/encodings"]
        yield from norm(f"model.{side}.layer_norm", f"{side}/layer_norm")
    for convolution in ("conv1", "conv2"):
        yield from linear(f"model.encoder.{convolution}", f"encoder/{convolution}")
    for side in ("encoder", "decoder"):
        layers = sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/bias") for name in source)
        for layer in range(layers):
            target, name = f"model.{side}.layers.{layer}", f"{side}/layer_{layer}"
            yield from norm(f"{target}.self_attn_layer_norm", f"{name}/self_attention/layer_norm")
            yield from projections(f"{target}.self_attn", "qkv", f"{name}/self_attention/linear_0")
            yield from linear(f"{target}.self_attn.out_proj", f"{name}/self_attention/linear_1")
            yield from norm(f"{target}.final_layer_norm", f"{name}/ffn/layer_norm")
            yield from linear(f"{target}.fc1", f"{name}/ffn/linear_0")
            yield from linear(f"{target}.fc2", f"{name}/ffn/linear_1")
            if side == "decoder":
                yield from norm(f"{target}.encoder_attn_layer_norm", f"{name}/attention/layer_norm")
                yield from projections(f"{target}.encoder_attn", "q", f"{name}/attention/linear_0")
                yield from projections(f"{target}.encoder_attn", "kv", f"{name}/attention/linear_1")
                yield from linear(f"{target}.encoder_attn.out_proj", f"{name}/attention/linear_2")
