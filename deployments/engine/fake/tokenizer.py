"""A tokenizer without a vocabulary file: every text has token ids, and the ids give exactly that text back.

A token is up to three ASCII characters or one other character, so that every token is whole text by itself and the
pieces of a stream concatenate. Control tokens mark turns and media; ordinary text never produces one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

_PAIRS = 0x110000
"""Ids below are single characters, by code point."""
_TRIPLES = _PAIRS + 2**14
_CONTROLS = _TRIPLES + 2**21

_RUNS = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]+")
_LONE_SURROGATES = re.compile(r"[\ud800-\udfff]")


class Control(IntEnum):
    """Tokens that stand for structure; detokenized as `<|name|>`."""

    SYSTEM = _CONTROLS
    USER = _CONTROLS + 1
    ASSISTANT = _CONTROLS + 2
    TOOL = _CONTROLS + 3
    END = _CONTROLS + 4
    IMAGE = _CONTROLS + 5
    AUDIO = _CONTROLS + 6


VOCABULARY_SIZE = _CONTROLS + len(Control)


def encode(text: str) -> list[int]:
    """Token ids of `text`. Lone surrogates, which no answer could carry, become U+FFFD."""
    ids: list[int] = []
    for run in _RUNS.findall(text):
        if run.isascii():
            ids.extend(_encode_ascii(run.encode("ascii")))
        else:
            ids.extend(map(ord, _LONE_SURROGATES.sub("\ufffd", run)))
    return ids


def decode(ids: Sequence[int]) -> str:
    """The text of `ids`. Raises ValueError for an id that is no token."""
    return "".join(map(piece, ids))


def piece(token: int) -> str:
    """The text of one token. Raises ValueError where there is none of that id."""
    if _TRIPLES <= token < _CONTROLS:
        packed = token - _TRIPLES
        return chr(packed >> 14) + chr(packed >> 7 & 0x7F) + chr(packed & 0x7F)
    if _PAIRS <= token < _TRIPLES:
        packed = token - _PAIRS
        return chr(packed >> 7) + chr(packed & 0x7F)
    if 0 <= token < _PAIRS:
        return "\ufffd" if 0xD800 <= token < 0xE000 else chr(token)
    if token < VOCABULARY_SIZE and token >= _CONTROLS:
        return f"<|{Control(token).name.lower()}|>"
    raise ValueError(f"token id {token} is out of the vocabulary: use 0 to {VOCABULARY_SIZE - 1}")


def _encode_ascii(data: bytes) -> list[int]:
    ids = [_TRIPLES + (a << 14 | b << 7 | c) for a, b, c in zip(data[::3], data[1::3], data[2::3], strict=False)]
    rest = data[len(ids) * 3 :]
    if len(rest) == 2:
        ids.append(_PAIRS + (rest[0] << 7 | rest[1]))
    elif rest:
        ids.append(rest[0])
    return ids
