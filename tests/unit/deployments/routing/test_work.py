from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.work import MOST_OUTPUT_TOKENS, TOKENS_PER_IMAGE, audio_work, text_work

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("type"), inner, max_size=4)
    ),
    max_leaves=20,
)
KEYS = ("messages", "prompt", "input", "instructions", "tools", "max_tokens", "max_completion_tokens", "model")


def test_a_prompt_and_what_it_may_answer() -> None:
    assert text_work({"prompt": "x" * 400, "max_tokens": 50}).amount == 150
    assert text_work({"prompt": [7] * 30, "max_tokens": 50}).amount == 80
    assert text_work({"prompt": ["x" * 40, [1, 2, 3]], "max_tokens": 1}).amount == 14
    assert text_work({}).amount == 256, "OpenAI's routes have no limit of their own"


def test_a_conversation_with_an_image_and_tools() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"type": "text", "text": "x" * 40}
    plain = text_work({"messages": [{"role": "user", "content": [text]}], "max_tokens": 1}).amount
    with_image = text_work({"messages": [{"role": "user", "content": [text, image]}], "max_tokens": 1}).amount
    assert with_image - plain == TOKENS_PER_IMAGE, "an image's bytes are not text"
    assert text_work({"messages": [], "tools": [{"description": "x" * 400}]}).amount > text_work({}).amount + 99


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_answers_limit_counts_within_reason(key: str) -> None:
    assert text_work({key: 100}).amount == 100
    assert text_work({key: 10**9}).amount == MOST_OUTPUT_TOKENS
    assert text_work({key: -5}).amount == 1
    assert text_work({key: "many"}).amount == text_work({}).amount


def test_deep_nesting_is_only_work() -> None:
    nested: Any = "x" * 40
    for _ in range(50_000):
        nested = [nested]
    assert text_work({"messages": nested, "max_tokens": 1}).amount == 11


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=6))
def test_any_json_object_has_some_finite_work(body: dict[str, Any]) -> None:
    amount = text_work(body).amount
    assert (
        1
        <= amount
        <= MOST_OUTPUT_TOKENS + TOKENS_PER_IMAGE * (1 + json.dumps(body).count("image")) + len(json.dumps(body))
    )


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_longer_prompt_is_never_less_work(prompt: str, more: str) -> None:
    assert text_work({"prompt": prompt + more}).amount >= text_work({"prompt": prompt}).amount


def test_audio_is_measured_in_its_own_seconds_or_guessed_from_its_size() -> None:
    assert audio_work(12.5, 10**9).amount == 12.5
    assert audio_work(None, 160_000).amount == 10
