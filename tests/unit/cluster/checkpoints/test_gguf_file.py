"""GGUF: what is written number by number is what is read, and another format is refused."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.checkpoints.gguf_file import GgufFile, read_gguf
from tests.unit.cluster.checkpoints.gguf_writer import Tensor, floats, gguf, q4_1, q8_0

WORDS = st.text(max_size=5)
METADATA = st.dictionaries(
    WORDS,
    WORDS | st.booleans() | st.integers(0, 2**32 - 1) | st.floats(width=32, allow_nan=False) | st.lists(WORDS),
    max_size=5,
)
SCALES = st.floats(-4, 4, width=16)


def read(content: bytes) -> GgufFile:
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        path.write_bytes(content)
        return read_gguf(path)


@given(metadata=METADATA)
def test_metadata_comes_back(metadata: dict[str, Any]) -> None:
    assert read(gguf(metadata, {})).metadata == metadata


@given(scale=SCALES, values=st.lists(st.integers(-128, 127), min_size=64, max_size=64))
def test_eight_bits(scale: float, values: list[int]) -> None:
    blocks = q8_0(scale, values[:32]) + q8_0(2.0, values[32:])
    tensor = read(gguf({}, {"w": Tensor((2, 32), 8, blocks)})).tensors["w"]
    expected = [[scale * v for v in values[:32]], [2.0 * v for v in values[32:]]]
    np.testing.assert_array_equal(tensor, np.array(expected, "<f4"))


@given(scale=SCALES, least=SCALES, nibbles=st.lists(st.integers(0, 15), min_size=32, max_size=32))
def test_four_bits(scale: float, least: float, nibbles: list[int]) -> None:
    tensor = read(gguf({}, {"w": Tensor((1, 32), 3, q4_1(scale, least, nibbles))})).tensors["w"]
    np.testing.assert_allclose(tensor[0], [scale * n + least for n in nibbles], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("alignment", [32, 64])
def test_each_tensor_is_found_at_its_own_place(alignment: int) -> None:
    tensors = {"a": Tensor((3,), 0, floats(1, 2, 3)), "b": Tensor((2, 2), 0, floats(4, 5, 6, 7))}
    found = read(gguf({"general.alignment": alignment}, tensors, alignment)).tensors
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"a": [1, 2, 3], "b": [[4, 5], [6, 7]]}


def test_a_type_that_is_not_read_is_named() -> None:
    with pytest.raises(ValueError, match="tensor w is of type 12; read here are 0, 3, 8"):
        read(gguf({}, {"w": Tensor((32,), 12, bytes(32))}))


@pytest.mark.parametrize("content", [b"safetensors", b"GGUF\x02\x00\x00\x00" + bytes(16)])
def test_another_format_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a GGUF file of version 3"):
        read(content)


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = gguf({"k": "v"}, {"w": Tensor((8,), 0, floats(*range(8)))})
    for length in range(1, len(whole)):
        with pytest.raises(ValueError, match=r"cut short|not a GGUF|ends after the file"):
            read(whole[:length])
