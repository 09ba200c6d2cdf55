"""Messages between a jail and its owner: a kind, a length, and so many bytes."""

from __future__ import annotations

import os
import struct

SET_UP, READY, OUTPUT, VALUE, FAILED = b"S", b"R", b"O", b"V", b"F"
"""From the jail: it is locked; the program is loaded; what it printed; what it returned, as JSON; what went wrong."""

PROGRAM, TEST = b"P", b"T"
"""To the jail."""

HEAD = struct.Struct("=cI")


def head(kind: bytes, payload: bytes) -> bytes:
    return HEAD.pack(kind, len(payload))


def send(file: int, kind: bytes, payload: bytes = b"") -> None:
    """Blocks until all is written. Raises OSError."""
    left = memoryview(head(kind, payload) + payload)
    while left:
        left = left[os.write(file, left) :]


def receive(file: int) -> tuple[bytes, bytes] | None:
    """Kind and payload of the next message; None at the end. Blocks. Raises OSError, EOFError where it is cut off."""
    begin = _read(file, HEAD.size)
    if not begin:
        return None
    kind, length = HEAD.unpack(begin)
    return kind, _read(file, length)


def _read(file: int, length: int) -> bytes:
    parts, left = [], length
    while left:
        part = os.read(file, min(left, 2**20))
        if not part:
            if left == length:
                return b""
            raise EOFError("a message was cut off")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
