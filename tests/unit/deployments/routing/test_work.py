from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.work import (
    BYTES_PER_AUDIO_SECOND,
    DEFAULT_OUTPUT_TOKENS,
    FEATURES,
    FEWEST_BYTES_PER_AUDIO_SECOND,
    MEDIA_KEYS,
    MOST_ANSWERS,
    MOST_OUTPUT_TOKENS,
    TOKENS_PER_IMAGE,
    Request,
    allowed_tokens,
    answer_count,
    audio_seconds,
    estimated_tokens,
    features,
    token_limit,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("type"), inner, max_size=4)
    ),
    max_leaves=20,
)
KEYS = ("messages", "prompt", "input", "instructions", "tools", "max_tokens", "max_completion_tokens", "model")


def test_an_uncached_prompt_in_features() -> None:
    (work,) = features(Request(tokens=2000), np.zeros(1))
    assert dict(zip(FEATURES, work.tolist(), strict=True)) == {
        "requests": 1.0,
        "kilo-tokens": 2.0,
        "kilo-tokens squared": 2.0,
        "kilo-tokens of images": 0.0,
        "seconds of audio": 0.0,
    }


def test_what_is_cached_saves_its_tokens_but_not_the_attention_to_them() -> None:
    whole, second_half = features(Request(tokens=2000, image_tokens=500), np.array([0.0, 1000.0]))
    assert second_half[1] == whole[1] / 2
    assert second_half[2] == 1.0 * (2.0 - 0.5), "each of 1000 tokens sees the 1000 before and half of its own"
    assert whole[2] / 2 < second_half[2] < whole[2]
    assert (whole[3], second_half[3]) == (0.5, 0.25), "pictures are taken to lie anywhere in the prompt"


def test_parts_of_a_prompt_add_up_to_the_whole() -> None:
    """Computed in two runs, the second with the first in its cache, it is the same work as in one."""
    (whole,) = features(Request(tokens=3000), np.zeros(1))
    (first,) = features(Request(tokens=1000), np.zeros(1))
    (rest,) = features(Request(tokens=3000), np.array([1000.0]))
    assert (first + rest)[1:] == pytest.approx(whole[1:])


def test_speech_is_its_seconds_wherever_it_goes() -> None:
    work = features(Request(audio_s=12.5), np.zeros(3))
    assert work.tolist() == [[1.0, 0.0, 0.0, 0.0, 12.5]] * 3


@given(
    st.integers(0, 200_000),
    st.lists(st.floats(0, 300_000), min_size=1, max_size=6),
    st.integers(0, 5000),
    st.floats(0, 3600),
)
def test_work_is_never_negative_and_falls_with_what_is_cached(
    tokens: int, cached: list[float], image_tokens: int, audio_s: float
) -> None:
    work = features(Request(tokens=tokens, image_tokens=image_tokens, audio_s=audio_s), np.array(sorted(cached)))
    assert work.shape == (len(cached), len(FEATURES))
    assert (work >= 0).all()
    assert (np.diff(work, axis=0) <= 1e-9 * (1 + work.max())).all()


def test_a_prompts_tokens_are_estimated_from_its_length_or_counted() -> None:
    assert estimated_tokens({"prompt": "x" * 400}) == 100
    assert estimated_tokens({"prompt": [7] * 30}) == 30
    assert estimated_tokens({"prompt": ["x" * 40, [1, 2, 3]]}) == 13
    assert estimated_tokens({"input": "x" * 40, "instructions": "x" * 80}) == 30
    assert estimated_tokens({}) == 1


def test_a_conversation_with_an_image_and_tools() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"type": "text", "text": "x" * 40}
    plain = estimated_tokens({"messages": [{"role": "user", "content": [text]}]})
    with_image = estimated_tokens({"messages": [{"role": "user", "content": [text, image]}]})
    assert with_image - plain == TOKENS_PER_IMAGE, "an image's bytes are not text"
    assert estimated_tokens({"messages": [], "tools": [{"description": "x" * 400}]}) == 100


def test_deep_nesting_is_only_work() -> None:
    nested: Any = "x" * 40
    for _ in range(50_000):
        nested = [nested]
    assert estimated_tokens({"messages": nested}) == 10


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=6))
def test_any_json_object_has_some_finite_work(body: dict[str, Any]) -> None:
    told = json.dumps(body)
    assert 1 <= estimated_tokens(body) <= TOKENS_PER_IMAGE * (1 + told.count("image")) + len(told)
    assert 1 <= allowed_tokens(body) <= MOST_OUTPUT_TOKENS


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_longer_prompt_is_never_less_work(prompt: str, more: str) -> None:
    assert estimated_tokens({"prompt": prompt + more}) >= estimated_tokens({"prompt": prompt})


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_answers_limit_counts_within_reason(key: str) -> None:
    assert allowed_tokens({key: 100}) == 100
    assert allowed_tokens({key: 10**9}) == MOST_OUTPUT_TOKENS
    assert allowed_tokens({key: -5}) == 1
    assert allowed_tokens({key: "many"}) == allowed_tokens({}) == DEFAULT_OUTPUT_TOKENS


def test_audio_is_measured_in_its_own_seconds_or_guessed_from_its_size() -> None:
    assert audio_seconds(12.5, 10**9) == 12.5
    assert audio_seconds(0.0, 10**9) == 0.0
    assert audio_seconds(None, 10 * BYTES_PER_AUDIO_SECOND) == 10


def test_a_header_cannot_claim_more_audio_than_its_bytes_can_hold() -> None:
    assert audio_seconds(5.8e14, 10 * FEWEST_BYTES_PER_AUDIO_SECOND) == 10


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"n": 2, "prompt": ["a", "b", "c"]}, 6),
        ({"n": 2, "prompt": [1, 2, 3]}, 2),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"n": -4, "prompt": []}, 1),
        ({"n": "many"}, 1),
    ],
)
def test_every_answer_that_is_asked_for_counts(body: dict[str, object], count: int) -> None:
    assert answer_count(body) == count


@pytest.mark.parametrize("key", sorted(MEDIA_KEYS))
def test_a_media_part_without_a_type_counts_as_media_and_not_as_text(key: str) -> None:
    part = {key: {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"text": "x" * 400}
    assert estimated_tokens({"messages": [{"role": "user", "content": [part]}]}) <= TOKENS_PER_IMAGE + 10
    both = estimated_tokens({"messages": [{"role": "user", "content": [part | text]}]})
    assert both >= TOKENS_PER_IMAGE + 100, "text beside it counts"


def test_a_part_that_names_another_type_hides_no_text() -> None:
    part = {"type": "text", "text": "x" * 4000, "image_url": "y"}
    assert estimated_tokens({"messages": [{"role": "user", "content": [part]}]}) >= 1000


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ({"n": 60}, 60),
        ({"n": 2, "best_of": 5, "prompt": ["a", "b", "c"]}, 15),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2]], "n": 3}, 6),
        ({"n": 10**40}, MOST_ANSWERS),
        ({"n": -5}, 1),
        ({"n": "7", "prompt": []}, 7),
        ({"n": 8.0, "best_of": "many"}, 8),
        ({"n": "inf"}, 1),
    ],
)
def test_answers_are_counted_for_n_best_of_and_each_prompt(body: dict[str, Any], answers: int) -> None:
    assert answer_count(body) == answers


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({}, None),
        ({"max_tokens": 100_000}, 100_000),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": -1}, 1),
    ],
)
def test_the_limit_of_an_answer_is_what_its_body_says(body: dict[str, Any], limit: int | None) -> None:
    assert token_limit(body) == limit
