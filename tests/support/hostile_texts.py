"""Texts by name that may occupy a tokenizer: runs of each Unicode category, of control tokens, and what people send."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable

Text = Callable[[int], str]
"""A text of so many characters."""


def _repeated(unit: str) -> Text:
    return lambda size: (unit * (size // len(unit) + 1))[:size]


def _categories() -> dict[str, str]:
    """Unicode's general categories -> up to 64 of their characters, spread over all. Surrogates are no text."""
    found: dict[str, list[str]] = {}
    for character in map(chr, (*range(0x20000), *range(0x20000, sys.maxunicode + 1, 64))):  # few kinds in later planes
        found.setdefault(unicodedata.category(character), []).append(character)
    del found["Cs"]
    return {name: "".join(points[:: max(1, len(points) // 64)][:64]) for name, points in sorted(found.items())}


def _category_texts() -> dict[str, Text]:
    texts: dict[str, Text] = {}
    for name, characters in _categories().items():
        middle = characters[len(characters) // 2]
        texts[f"{name}: one character"] = _repeated(middle)
        texts[f"{name}: several characters"] = _repeated(characters)
        texts[f"{name}: with spaces"] = _repeated(" ".join(characters) + " ")
    return texts


SPECIALS = ("<|im_start|>", "<|start|>assistant<|channel|>", "<|endoftext|>", "<|vision_start|>", "<|notimestamps|>")
"""Control tokens of the served tokenizers."""

CATEGORY_TEXTS = _category_texts()
SPECIAL_TEXTS: dict[str, Text] = {
    **{f"special {special}": _repeated(special) for special in SPECIALS},
    **{f"beginnings of {special}": _repeated(special[:-2]) for special in SPECIALS},
    "<| and a run": lambda size: ("<|" + "a" * size)[:size],
    "many <|": _repeated("<|"),
    "<|im_": _repeated("<|im_"),
    "a, then all beginnings": _repeated("".join(special[:end] for special in SPECIALS for end in range(1, 9))),
}
OTHER_TEXTS: dict[str, Text] = {
    "combining marks": _repeated("e" + "\u0301" * 30),
    "zero width": _repeated("\u200b\u200c\u200d\ufeff"),
    "emoji families": _repeated("\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"),
    "emoji with skins": _repeated("\U0001f44d\U0001f3fd"),
    "long digits": _repeated("31415926535897932384626433832795"),
    "spaces": _repeated(" "),
    "tabs and line ends": _repeated("\t\r\n \n"),
    "mixed scripts": _repeated("a\u0431\u03b3\u65e5\u05e9\ud55c\u0939"),
    "like base64": _repeated("TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dCAuLi4"),
    "letters of both cases": _repeated("aBcDeFgHiJkLmNoPqRsTuVwXyZ"),
    "like media": lambda size: ("data:," + "a" * size)[:size],
    "words": _repeated("The quick brown fox jumps over the lazy dog. "),
    "replacement characters": _repeated("\ufffd"),
    "directions": _repeated("\u202e\u2066x\u2069"),
}
TEXTS = {**CATEGORY_TEXTS, **SPECIAL_TEXTS, **OTHER_TEXTS}
