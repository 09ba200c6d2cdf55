"""Text to token ids with the checkpoint's own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from tokenizers import Tokenizer

CHUNK = 2**16
"""Characters that are tokenised at once, where it is known how to cut. The library needs 100 bytes for each token."""

CUT = re.compile(r"(?<=[A-Za-z])(?= [A-Za-z])")
"""Between two words. Of the patterns below, only those for letters match a letter, and none of them goes on with a
space: so one pre-token always ends here, and the next one begins. No pattern looks back, and what they look ahead for
follows white space alone."""

GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class _Model(msgspec.Struct):
    type: Any = None
    dropout: Any = None


class _Description(msgspec.Struct):
    """What `can_be_cut` reads of a tokenizer.json. Its vocabulary, nearly all of it, is passed over."""

    model: _Model
    normalizer: Any = None
    pre_tokenizer: Any = None
    added_tokens: Any = ()


class Tokens:
    """A tokenizer that threads may share: only its batch call releases the interpreter's lock, so that alone is used.

    Measured: 8,800 tokens take 25 ms either way; beside `encode` the event loop stands still for all of them, beside
    `encode_batch_fast` for under a millisecond as a rule.
    """

    def __init__(self, source: str) -> None:
        """`source` is tokenizer.json's text. Raises Exception where the library cannot read it."""
        self._tokenizer = Tokenizer.from_str(source)
        described = msgspec.json.decode(source, type=_Description)
        self._can_cut = can_be_cut(msgspec.to_builtins(described))

    def encode(self, text: str, special: bool = False) -> list[int]:
        """`special` adds the tokens that the tokenizer puts around a text by itself, as completions have them."""
        if special or not self._can_cut or len(text) <= CHUNK:
            return self._encoded(text, special)
        ids: list[int] = []
        one: dict[int, int] = {}  # the library makes an object of each token, of which most are equal
        for chunk in chunks(text, CHUNK):
            ids.extend(one.setdefault(token, token) for token in self._encoded(chunk, special))
        return ids

    def _encoded(self, text: str, special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=special)[0].ids
        return ids


def chunks(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at least `size` (from 1 up) characters, but for the last, each of which ends with a word."""
    start = 0
    while cut := CUT.search(text, start + size):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def can_be_cut(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a text's token ids are those of its `chunks`: by tokenizer.json."""
    normal, model = tokenizer.get("normalizer"), tokenizer["model"]
    return (
        (normal is None or normal.get("type") == "NFC")
        and model.get("type") == "BPE"
        and not model.get("dropout")
        and _splits_words(tokenizer.get("pre_tokenizer") or {})
        and not any(
            " " in token["content"] or token["lstrip"] or token["rstrip"] or token["single_word"]
            for token in tokenizer.get("added_tokens", ())
        )
    )


def _splits_words(splitting: Mapping[str, Any]) -> bool:
    match splitting:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return True
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern in (GPT_4O, QWEN_2)
    return False
