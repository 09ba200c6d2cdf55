"""Tensors as raw bytes in the safetensors format, whatever their type: no torch, and bfloat16 needs no emulation.

Format: https://github.com/huggingface/safetensors#format (8 bytes of header length, a JSON header, the data).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RawTensor:
    """A tensor's type in safetensors' spelling (F16, BF16, I64, ...), its shape and its little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def read_tensors(path: Path) -> dict[str, RawTensor]:
    """All tensors of a file by name. Raises OSError, or ValueError for a file of another format."""
    content = memoryview(path.read_bytes())
    if len(content) < 8 or (length := struct.unpack_from("<Q", content)[0]) > len(content) - 8:
        raise ValueError(f"{path} is not a safetensors file")
    header = json.loads(bytes(content[8 : 8 + length]))
    data = content[8 + length :]
    return {
        name: RawTensor(entry["dtype"], tuple(entry["shape"]), data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_tensors(path: Path, tensors: Mapping[str, RawTensor]) -> None:
    """Writes tensors of one type in the order of their names."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in sorted(tensors.items()):
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(tensor.data)
