"""Long texts are tokenised in pieces, with the ids that they have as a whole."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from cluster.checkpoints import resolve
from deployments.gateway.preparation.prompts.tokens import CHUNK, GPT_4O, QWEN_2, Tokens, can_be_cut, chunks
from tests.support.hostile_texts import TEXTS

CHECKPOINTS = ("tiny-gpt-oss-sums", "tiny-qwen3vl-digits")
PIECES = [
    "word",
    " word",
    " A",
    "'s",
    "'S x",
    "12",
    " 12",
    "!",
    " ?",
    "\n",
    " \n ",
    "  ",
    "\t",
    "é",
    "e\u0301",
    "日",
    "<|im_end|>",
]


@cache
def source(checkpoint: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(resolve(checkpoint).path, "tokenizer.json").read_text())
    return content


@cache
def whole(checkpoint: str, pattern: str = "") -> Tokenizer:
    """The library's own, with another checkpoint's way of splitting where `pattern` is given."""
    content = source(checkpoint)
    tokenizer = Tokenizer.from_str(Path(resolve(checkpoint).path, "tokenizer.json").read_text())
    if pattern:
        tokenizer.pre_tokenizer = Sequence([Split(Regex(pattern), "isolated"), ByteLevel(False, use_regex=False)])
        tokenizer.normalizer = NFC()
        splitting = json.loads(tokenizer.pre_tokenizer.__getstate__())
        content = {**content, "pre_tokenizer": splitting, "normalizer": {"type": "NFC"}}
    assert can_be_cut(content)
    return tokenizer


@pytest.mark.parametrize("pattern", ["", GPT_4O, QWEN_2])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join), size=st.integers(1, 20))
def test_pieces_of_a_text_have_the_ids_of_the_whole(checkpoint: str, pattern: str, text: str, size: int) -> None:
    text = text.encode(errors="replace").decode()
    tokenizer = whole(checkpoint, pattern)
    encoded = [token for chunk in chunks(text, size) for token in tokenizer.encode(chunk, add_special_tokens=False).ids]
    assert encoded == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_long_text_has_the_librarys_ids(checkpoint: str) -> None:
    draw = random.Random(0)
    words = [draw.choice(PIECES) for _ in range(60_000)]
    text = "".join(words) + "".join(make(100) for make in TEXTS.values())
    assert len(text) > 2 * CHUNK
    tokens = Tokens(json.dumps(source(checkpoint)))
    assert tokens.encode(text) == whole(checkpoint).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "changed",
    [
        {"normalizer": {"type": "Prepend", "prepend": "_"}},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"model": {"type": "Unigram"}},
        {"added_tokens": [{"content": "a b", "lstrip": False, "rstrip": False, "single_word": False}]},
        {"added_tokens": [{"content": "a", "lstrip": True, "rstrip": False, "single_word": False}]},
    ],
)
def test_a_tokenizer_of_another_kind_gets_whole_texts(changed: dict[str, Any]) -> None:
    assert not can_be_cut({**source("tiny-qwen3vl-digits"), **changed})
