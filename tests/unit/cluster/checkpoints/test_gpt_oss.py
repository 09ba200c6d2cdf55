"""The tiny GPT-OSS: from the rows in use to the real vocabulary."""

from __future__ import annotations

import numpy as np

from cluster.checkpoints.gpt_oss import CONFIG, VOCABULARY_ROWS, expand
from cluster.checkpoints.harmony_tokenizer import VOCABULARY_SIZE
from cluster.checkpoints.safetensors_file import RawTensor, read_tensors
from cluster.checkpoints.vendored import DATA


def test_rows_land_at_their_ids_and_nothing_else_changes() -> None:
    compact = read_tensors(DATA / "tiny-gpt-oss-sums" / "compact.safetensors")
    ids = np.frombuffer(compact["used_ids"].data, "<i8")
    wide = expand(compact)
    assert wide.keys() == compact.keys() - {"used_ids"}
    for name in VOCABULARY_ROWS:
        rows = np.frombuffer(wide[name].data, "<u2").reshape(wide[name].shape)
        used = np.frombuffer(compact[name].data, "<u2").reshape(compact[name].shape)
        assert rows.shape == (VOCABULARY_SIZE, CONFIG["hidden_size"])
        np.testing.assert_array_equal(rows[ids], used)
        assert np.count_nonzero(rows) == np.count_nonzero(used)
    assert all(wide[name] is compact[name] for name in wide if name not in VOCABULARY_ROWS)


def test_the_rows_in_use_hold_every_digit_and_every_stop_token() -> None:
    compact = read_tensors(DATA / "tiny-gpt-oss-sums" / "compact.safetensors")
    ids = set(np.frombuffer(compact["used_ids"].data, "<i8").tolist())
    assert {CONFIG["eos_token_id"], CONFIG["pad_token_id"], CONFIG["bos_token_id"]} <= ids
    assert len(ids) == compact["lm_head.weight"].shape[0]


def test_shapes_are_those_of_the_configuration() -> None:
    tensors: dict[str, RawTensor] = read_tensors(DATA / "tiny-gpt-oss-sums" / "compact.safetensors")
    width, experts, inner = CONFIG["hidden_size"], CONFIG["num_local_experts"], CONFIG["intermediate_size"]
    layers = {name.split(".")[2] for name in tensors if name.startswith("model.layers.")}
    assert layers == {str(layer) for layer in range(CONFIG["num_hidden_layers"])}
    assert len(CONFIG["layer_types"]) == CONFIG["num_hidden_layers"]
    for layer in layers:
        block = f"model.layers.{layer}"
        assert tensors[f"{block}.mlp.experts.gate_up_proj"].shape == (experts, width, 2 * inner)
        assert tensors[f"{block}.self_attn.sinks"].shape == (CONFIG["num_attention_heads"],)
