"""GPT-OSS's tokenizer (o200k_harmony) in Hugging Face's form, from the ranks that OpenAI publishes.

Sources: the pattern and the special tokens are those of openai/harmony and openai/tiktoken (both Apache-2.0 or MIT).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

LETTERS = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{LETTERS[0]}]*[{LETTERS[1]}]+{CONTRACTION}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{LETTERS[0]}]+[{LETTERS[1]}]*{CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)

NAMED_TOKENS = {
    199998: "<|startoftext|>",
    199999: "<|endoftext|>",
    200002: "<|return|>",
    200003: "<|constrain|>",
    200005: "<|channel|>",
    200006: "<|start|>",
    200007: "<|end|>",
    200008: "<|message|>",
    200012: "<|call|>",
    200018: "<|endofprompt|>",
}
SPECIAL_TOKENS = {token: NAMED_TOKENS.get(token, f"<|reserved_{token}|>") for token in range(199998, 200019)}
VOCABULARY_SIZE = 201_088


def read_ranks(content: bytes) -> dict[bytes, int]:
    """Token bytes -> rank, from a `.tiktoken` file: a line is a token in base64 and its rank."""
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def harmony_tokenizer(ranks: Mapping[bytes, int]) -> dict[str, Any]:
    """The content of a `tokenizer.json`."""
    spelling = _byte_spelling()

    def spell(token: bytes) -> str:
        return token.decode("latin-1").translate(spelling)

    by_rank = sorted(ranks, key=ranks.__getitem__)
    merges = [[spell(part) for part in _parts(token, ranks)] for token in by_rank if len(token) > 1]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token, "content": name, **plain} for token, name in SPECIAL_TOKENS.items()],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                byte_level,
            ],
        },
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {spell(token): ranks[token] for token in by_rank},
            "merges": merges,
        },
    }


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge gives `token`.

    Encoding always merges the pair of lowest rank first, so when two neighbours may become `token`, every merge of
    lower rank inside its bytes has been made: the neighbours are what those merges alone leave of it, and no second
    pair of parts can occur in any text.
    """
    limit = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    joined = [ranks.get(left + right, limit) for left, right in pairwise(parts)]
    while len(parts) > 2:
        lowest = min(joined)
        if lowest >= limit:
            raise ValueError(f"token {token!r} of rank {limit} cannot be reached by merges of lower rank")
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del joined[at]
        for pair in (at - 1, at):
            if 0 <= pair < len(joined):
                joined[pair] = ranks.get(parts[pair] + parts[pair + 1], limit)
    return parts[0], parts[1]


def _byte_spelling() -> dict[int, str]:
    """A printable character for each byte (GPT-2's table): Latin-1's own where printable, else from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}
