"""Writes small GGUF files, one number at a time: the slow and plain way round from what is tested."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """Shape slowest first, GGUF's type number, and the bytes as they lie in the file."""

    shape: tuple[int, ...]
    kind: int
    data: bytes


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(content: Any) -> bytes:
    """An entry's type and value: text, a boolean, a float, an unsigned number, or a list of one of these."""
    match content:
        case str():
            return struct.pack("<I", 8) + text(content)
        case bool():
            return struct.pack("<I?", 7, content)
        case int():
            return struct.pack("<II", 4, content)
        case float():
            return struct.pack("<If", 6, content)
        case list():
            members = [value(member) for member in content]
            kind = members[0][:4] if members else struct.pack("<I", 4)
            return struct.pack("<I", 9) + kind + struct.pack("<Q", len(content)) + b"".join(m[4:] for m in members)
    raise TypeError(f"no GGUF value: {content!r}")


def gguf(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], alignment: int = 32) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(key) + value(content) for key, content in metadata.items())
    data = b""
    for name, tensor in tensors.items():
        dimensions = struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape[::-1])
        head += text(name) + struct.pack("<I", len(tensor.shape)) + dimensions
        head += struct.pack("<IQ", tensor.kind, len(data))
        data += tensor.data + bytes(-len(tensor.data) % alignment)
    return head + bytes(-len(head) % alignment) + data


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def q8_0(scale: float, values: Sequence[int]) -> bytes:
    return struct.pack("<e32b", scale, *values)


def q4_1(scale: float, least: float, nibbles: Sequence[int]) -> bytes:
    return struct.pack("<ee16B", scale, least, *(nibbles[i] | nibbles[i + 16] << 4 for i in range(16)))
