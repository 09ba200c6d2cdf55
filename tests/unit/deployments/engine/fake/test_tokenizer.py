from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engine.fake.tokenizer import VOCABULARY_SIZE, Control, decode, encode, piece


@given(st.text())
def test_text_comes_back_and_pieces_concatenate(text: str) -> None:
    ids = encode(text)
    assert decode(ids) == text
    assert "".join(piece(token) for token in ids) == text
    assert all(0 <= token < min(Control) for token in ids)


@given(st.text(), st.text())
def test_decoding_is_additive(first: str, second: str) -> None:
    assert decode(encode(first) + encode(second)) == first + second


@given(st.text(st.characters(codec="ascii"), min_size=3))
def test_ascii_packs_three_to_a_token(text: str) -> None:
    assert len(encode(text)) == -(-len(text) // 3)


def test_lone_surrogates_become_the_replacement_character() -> None:
    assert decode(encode("a\ud800b")) == "a\ufffdb"
    assert piece(0xDFFF) == "\ufffd"


def test_control_tokens_have_a_text_but_text_never_gives_one() -> None:
    assert decode([Control.USER]) == "<|user|>"
    assert Control.USER not in encode("<|user|>")


@pytest.mark.parametrize("token", [-1, VOCABULARY_SIZE])
def test_ids_out_of_the_vocabulary_are_an_error(token: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token} is out of the vocabulary"):
        decode([token])
