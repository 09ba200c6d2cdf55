from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.replay.fitting import fitted, shortened
from loadtest.traces.trace import ImageRef, TraceError, TraceRequest

IMAGES = st.lists(st.builds(ImageRef, st.integers(0, 9), st.integers(1, 70)), max_size=3).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> TraceRequest:
    images = draw(IMAGES)
    text = draw(st.integers(1, 100_000))
    block = draw(st.sampled_from([16, 512]))
    blocks = tuple(range(draw(st.integers(0, min(200, -(-text // block))))))
    tokens = text + sum(image.tokens for image in images)
    return TraceRequest(0.0, tokens, draw(st.integers(1, 3000)), blocks, block, images)


def test_everything_is_shortened_alike() -> None:
    one = TraceRequest(3.0, 6758 + 880, 500, tuple(range(14)), 512, (ImageRef(1, 880, 1280, 720),), session="s")
    short = shortened(one, 1 / 16)
    assert short == TraceRequest(3.0, 422 + 55, 31, tuple(range(14)), 32, (ImageRef(1, 55, 320, 180),), session="s")
    assert shortened(one, 1) is one


def test_speech_stays_as_long_as_it_is() -> None:
    clip = TraceRequest(0.0, 0, 300, audio_s=12.0)
    assert shortened(clip, 0.1) is clip
    assert fitted(clip, 448) == TraceRequest(0.0, 0, 224, audio_s=12.0)


def test_a_long_prompt_loses_its_end_and_a_long_answer_the_rest() -> None:
    one = TraceRequest(0.0, 2000, 900, tuple(range(125)), 16)
    fit = fitted(one, 1024, spare=24)
    assert (fit.input_tokens, fit.output_tokens) == (1024 - 24 - 512, 512)
    assert fit.blocks == tuple(range(31)), "the last one in part"
    assert fitted(one, None) is one
    assert fitted(one, 8192, spare=24) == one


def test_pictures_that_fill_the_context_are_refused() -> None:
    one = TraceRequest(0.0, 1001, 900, images=(ImageRef(1, 1000),))
    with pytest.raises(TraceError, match=r"pictures of 1000 tokens .* shorten them with --scale"):
        fitted(one, 1024)


@given(requests(), st.floats(0.001, 2), st.integers(1100, 5000), st.integers(0, 100))
def test_what_fits_is_a_request_within_the_context(one: TraceRequest, scale: float, context: int, spare: int) -> None:
    fit = fitted(shortened(one, scale), context, spare)
    assert fit.input_tokens + fit.output_tokens + spare <= context
    assert fit.blocks == one.blocks[: len(fit.blocks)]
    assert fit.output_tokens <= max(1, one.output_tokens * max(scale, 1) + 1)
