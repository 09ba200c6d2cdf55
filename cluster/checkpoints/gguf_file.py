"""Reads GGUF, llama.cpp's model file: its metadata, and its tensors out of the quantised forms listed here.

Format (ggml-org/ggml, docs/gguf.md, version 3): magic, version, number of tensors, number of metadata entries; the
entries; name, dimensions (fastest first), type and offset of each tensor; then, aligned, the data. Little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAGIC, VERSION = b"GGUF", 3
DEFAULT_ALIGNMENT = 32
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
BLOCK = 32
"""Weights that share one scale, in each of the quantised types below."""

Q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", BLOCK)])
Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("nibbles", "u1", BLOCK // 2)])


@dataclass(frozen=True)
class GgufFile:
    """Metadata by key, and tensors by name in float32 with their dimensions slowest first."""

    metadata: dict[str, Any]
    tensors: dict[str, Floats]


def read_gguf(path: Path) -> GgufFile:
    """Raises OSError, or ValueError for a file of another format or a tensor of a type that is not read here."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _read(content)
        except struct.error as error:
            raise ValueError(f"{path} is cut short") from error


def _read(content: mmap.mmap) -> GgufFile:
    offset = len(MAGIC)

    def number(form: str) -> Any:
        nonlocal offset
        (value,) = struct.unpack_from(f"<{form}", content, offset)
        offset += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal offset
        length = number("Q")
        offset += length
        return content[offset - length : offset].decode()

    def value(kind: int) -> Any:
        if kind == TEXT:
            return text()
        if kind == LIST:
            member, count = number("I"), number("Q")
            return [value(member) for _ in range(count)]
        if kind not in SCALARS:
            raise ValueError(f"GGUF metadata of unknown type {kind}")
        return number(SCALARS[kind])

    if content[: len(MAGIC)] != MAGIC or (version := number("I")) != VERSION:
        raise ValueError(f"not a GGUF file of version {VERSION}" + (f": version {version}" if offset > 4 else ""))
    tensors, entries = number("Q"), number("Q")
    metadata = {text(): value(number("I")) for _ in range(entries)}
    places = []
    for _ in range(tensors):
        name = text()
        shape = tuple(number("Q") for _ in range(number("I")))[::-1]
        places.append((name, shape, number("I"), number("Q")))
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    data = offset + -offset % alignment
    return GgufFile(metadata, {n: _tensor(content, n, shape, kind, data + o) for n, shape, kind, o in places})


def _tensor(content: mmap.mmap, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Floats:
    if kind not in TYPES:
        raise ValueError(f"GGUF tensor {name} is of type {kind}; read here are {', '.join(map(str, sorted(TYPES)))}")
    dtype, weights, decode = TYPES[kind]
    size = int(np.prod(shape)) // weights * dtype.itemsize
    if offset + size > len(content):
        raise ValueError(f"GGUF tensor {name} ends after the file does")
    return decode(np.frombuffer(content[offset : offset + size], dtype)).reshape(shape)


def _from_q8_0(blocks: NDArray[Any]) -> Floats:
    """Each weight is scale x value. In: [blocks]. Out: [blocks, 32]."""
    weights: Floats = blocks["scale"][:, None].astype(np.float32) * blocks["values"]
    return weights


def _from_q4_1(blocks: NDArray[Any]) -> Floats:
    """Each weight is scale x nibble + least; low nibbles are a block's first half. In: [blocks]. Out: [blocks, 32]."""
    nibbles = np.concatenate([blocks["nibbles"] & 0xF, blocks["nibbles"] >> 4], axis=1)
    scale, least = (blocks[name][:, None].astype(np.float32) for name in ("scale", "least"))
    weights: Floats = scale * nibbles + least
    return weights


TYPES: dict[int, tuple[np.dtype[Any], int, Callable[[NDArray[Any]], Floats]]] = {
    0: (np.dtype("<f4"), 1, lambda values: values.astype(np.float32)),
    3: (Q4_1, BLOCK, _from_q4_1),
    8: (Q8_0, BLOCK, _from_q8_0),
}
"""GGUF's type number -> its unit, the weights in one, and how units become weights."""
