"""CTranslate2's binary format, written here by hand as its specification says."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pytest

from cluster.checkpoints.ctranslate2_file import TYPES, Array, read_ctranslate2


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def written(tensors: Mapping[str, Array], spec: str = "WhisperSpec", version: int = 6) -> bytes:
    codes = {np.dtype(form): code for code, form in TYPES.items()}
    content = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(tensors))
    for name, array in tensors.items():
        content += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        content += struct.pack("<BI", codes[array.dtype], array.nbytes) + array.tobytes()
    return content


def test_every_type_and_rank() -> None:
    tensors: dict[str, Array] = {
        form: np.arange(6).astype(form).reshape(shape)
        for form, shape in zip(TYPES.values(), [(6,), (2, 3), (3, 2, 1), (6, 1), (1, 6)], strict=True)
    }
    tensors["scalar"] = np.array(7, "<i2")
    read = read_ctranslate2(written(tensors), "WhisperSpec")
    assert read.keys() == tensors.keys()
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (written({}, version=7), "version 7, expected 6"),
        (written({}, spec="TransformerSpec"), "holds a TransformerSpec, expected a WhisperSpec"),
    ],
)
def test_another_version_or_model_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_ctranslate2(content, "WhisperSpec")
