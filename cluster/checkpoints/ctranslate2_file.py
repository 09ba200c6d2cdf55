"""Reads CTranslate2's binary model file, version 6.

Layout (CTranslate2, python/ctranslate2/specs/model_spec.py): version, spec name, spec revision, then the tensors: name,
rank, dimensions, type, size in bytes, data. Little-endian; strings carry a 16-bit length and a final zero.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

VERSION = 6
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ctranslate2(content: bytes, spec: str) -> dict[str, Array]:
    """Tensors by name, as views of `content`. Raises ValueError for another version or another model spec."""
    offset = 0

    def number(form: str) -> int:
        nonlocal offset
        value: int = struct.unpack_from(f"<{form}", content, offset)[0]
        offset += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal offset
        length = number("H")
        offset += length
        return content[offset - length : offset - 1].decode()

    if (version := number("I")) != VERSION:
        raise ValueError(f"CTranslate2 file of version {version}, expected {VERSION}")
    if (name := text()) != spec:
        raise ValueError(f"CTranslate2 file holds a {name}, expected a {spec}")
    number("I")
    tensors: dict[str, Array] = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind = np.dtype(TYPES[number("B")])
        size = number("I")
        tensors[name] = np.frombuffer(content, kind, count=size // kind.itemsize, offset=offset).reshape(shape)
        offset += size
    return tensors
