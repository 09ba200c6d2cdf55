"""Renaming loses nothing and invents nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.checkpoints.ctranslate2_file import Array
from cluster.checkpoints.whisper_weights import hugging_face_weights

WIDTH = 4


def whisper(layers: int) -> dict[str, Array]:
    """A Whisper in CTranslate2's names: every number in it occurs once, but for the keys' zero biases."""
    counter = iter(range(1, 1_000_000))

    def fresh(*shape: int) -> Array:
        return np.array([next(counter) for _ in range(int(np.prod(shape)))], "<f4").reshape(shape)

    tensors: dict[str, Array] = {"decoder/embeddings/weight": fresh(7, WIDTH)}

    def norm(name: str) -> None:
        tensors[f"{name}/gamma"], tensors[f"{name}/beta"] = fresh(WIDTH), fresh(WIDTH)

    def linear(name: str, out: int, key: int | None = None) -> None:
        tensors[f"{name}/weight"], bias = fresh(out, WIDTH), fresh(out)
        if key is not None:
            bias[key * WIDTH : (key + 1) * WIDTH] = 0
        tensors[f"{name}/bias"] = bias

    for side in ("encoder", "decoder"):
        tensors[f"{side}/position_encodings/encodings"] = fresh(5, WIDTH)
        norm(f"{side}/layer_norm")
        for layer in range(layers):
            block = f"{side}/layer_{layer}"
            norm(f"{block}/self_attention/layer_norm")
            linear(f"{block}/self_attention/linear_0", 3 * WIDTH, key=1)
            linear(f"{block}/self_attention/linear_1", WIDTH)
            norm(f"{block}/ffn/layer_norm")
            linear(f"{block}/ffn/linear_0", 4 * WIDTH)
            linear(f"{block}/ffn/linear_1", WIDTH)
            if side == "decoder":
                norm(f"{block}/attention/layer_norm")
                linear(f"{block}/attention/linear_0", WIDTH)
                linear(f"{block}/attention/linear_1", 2 * WIDTH, key=0)
                linear(f"{block}/attention/linear_2", WIDTH)
    linear("encoder/conv1", WIDTH)
    linear("encoder/conv2", WIDTH)
    return tensors


def numbers(tensors: dict[str, Array]) -> list[float]:
    return sorted(float(value) for array in tensors.values() for value in array.flat if value)


@pytest.mark.parametrize("layers", [1, 3])
def test_every_weight_arrives_once(layers: int) -> None:
    source = whisper(layers)
    weights = hugging_face_weights(source)
    assert numbers(weights) == numbers(source)
    assert not any(name.endswith("k_proj.bias") for name in weights)
    assert all(array.any() for array in weights.values())


def test_projections_are_split_in_order() -> None:
    source = whisper(1)
    weights = hugging_face_weights(source)
    for index, letter in enumerate("qkv"):
        np.testing.assert_array_equal(
            weights[f"model.encoder.layers.0.self_attn.{letter}_proj.weight"],
            source["encoder/layer_0/self_attention/linear_0/weight"][index * WIDTH : (index + 1) * WIDTH],
        )
    np.testing.assert_array_equal(
        weights["model.decoder.layers.0.encoder_attn.v_proj.bias"],
        source["decoder/layer_0/attention/linear_1/bias"][WIDTH:],
    )


def test_a_missing_weight_is_named() -> None:
    source = whisper(1)
    del source["encoder/conv2/bias"]
    with pytest.raises(KeyError, match="encoder/conv2/bias"):
        hugging_face_weights(source)
