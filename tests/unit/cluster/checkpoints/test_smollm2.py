"""SmolLM2: every weight arrives, rotary halves are where Hugging Face wants them, digits are tokens of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from cluster.checkpoints.gguf_file import Floats
from cluster.checkpoints.safetensors_file import RawTensor
from cluster.checkpoints.smollm2 import LAYER_NAMES, halves, hugging_face_weights, tokenizer

WIDTH, HEADS, KEY_HEADS, HEAD = 8, 2, 1, 4


def weights(layers: int) -> dict[str, Floats]:
    """A Llama in GGUF's names, in which every number occurs once and is exact in bfloat16."""
    values = iter(m * 2.0**e for e in range(-30, 30) for m in range(128, 256))

    def fresh(*shape: int) -> Floats:
        return np.array([next(values) for _ in range(int(np.prod(shape)))], np.float32).reshape(shape)

    made = {"token_embd.weight": fresh(5, WIDTH), "output_norm.weight": fresh(WIDTH)}
    for layer in range(layers):
        for part in LAYER_NAMES:
            rows = {"attn_q.weight": HEADS * HEAD, "attn_k.weight": KEY_HEADS * HEAD, "attn_v.weight": HEAD}
            shape = (WIDTH,) if "norm" in part else (rows.get(part, WIDTH), WIDTH)
            made[f"blk.{layer}.{part}"] = fresh(*shape)
    return made


def numbers(tensor: RawTensor) -> Floats:
    return (np.frombuffer(tensor.data, "<u2").astype("<u4") << 16).view("<f4").reshape(tensor.shape)


@pytest.mark.parametrize("layers", [1, 3])
def test_every_weight_arrives_once(layers: int) -> None:
    source = weights(layers)
    found = dict(hugging_face_weights(source, HEADS, KEY_HEADS))
    assert len(found) == len(source)
    arrived = sorted(float(number) for tensor in found.values() for number in numbers(tensor).flat)
    assert arrived == sorted(float(number) for array in source.values() for number in array.flat)
    np.testing.assert_array_equal(
        numbers(found["model.layers.0.mlp.down_proj.weight"]), source["blk.0.ffn_down.weight"]
    )


def test_a_head_keeps_its_rows_and_pairs_lie_half_a_head_apart() -> None:
    rows = np.arange(HEADS * HEAD, dtype=np.float32)[:, None]
    assert halves(rows, HEADS)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_rounding_goes_to_the_nearest_even() -> None:
    halfway = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1.0], np.float32)
    (tensor,) = dict(hugging_face_weights({"output_norm.weight": halfway}, 1, 1)).values()
    assert numbers(tensor).tolist() == [1.0, 1 + 2**-6, 1 + 2**-7, -1.0]


def test_an_unknown_weight_is_named() -> None:
    with pytest.raises(KeyError, match=r"attn_sinks\.weight"):
        dict(hugging_face_weights({"blk.0.attn_sinks.weight": np.zeros(1, np.float32)}, 1, 1))


def metadata(**changes: Any) -> dict[str, Any]:
    tokens = ["<|im_end|>", *"0123456789", "Ġ", "a", "b", "ab", "12"]
    found = {"pre": "smollm", "tokens": tokens, "token_type": [3] + [1] * 15, "merges": ["a b", "1 2"], **changes}
    return {f"tokenizer.ggml.{name}": value for name, value in found.items()}


def test_digits_are_never_merged_and_letters_are() -> None:
    import json

    made = Tokenizer.from_str(json.dumps(tokenizer(metadata())))
    assert made.encode("ab 121<|im_end|>").tokens == ["ab", "Ġ", "1", "2", "1", "<|im_end|>"]


def test_another_way_of_splitting_is_refused() -> None:
    with pytest.raises(ValueError, match="splits text as 'llama-bpe'"):
        tokenizer(metadata(pre="llama-bpe"))
