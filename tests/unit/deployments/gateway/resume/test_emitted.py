from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.proxy.usage import FRAME_END
from deployments.gateway.resume.conditions import NotExact
from deployments.gateway.resume.emitted import MOST_ID_BYTES, Emitted, ask_for_ids

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
NASTY = st.sampled_from(
    ['"token_ids":[1,2]', '\\"token_ids\\":[3]', '"prompt_token_ids":[4]', '"delta":{}', "data: [DONE]"]
)
TOKENS = st.lists(
    st.tuples(st.one_of(st.text(max_size=8), NASTY), st.lists(st.integers(0, 2**18), max_size=3)), max_size=9
)


def frame(payload: Any) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + FRAME_END


def stream(prompt: list[int], tokens: list[tuple[str, list[int]]], with_ids: bool) -> list[bytes]:
    """As vLLM writes it; without ids it has no frame for a token that shows nothing."""

    def chunk(delta: dict[str, str], ids: list[int] | None, **further: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, "token_ids": ids}
        return frame({**HEAD, "choices": [choice], **further})

    first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    frames = [frame({**HEAD, "choices": [first], "prompt_token_ids": prompt if with_ids else None})]
    for text, ids in tokens:
        if with_ids:
            frames.append(chunk({"content": text} if text else {}, ids))
        elif text:
            frames.append(chunk({"content": text}, None))
    end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    frames.append(frame({**HEAD, "choices": [{**end, "token_ids": [9] if with_ids else None}]}))
    return [*frames, b"data: [DONE]" + FRAME_END]


@given(st.lists(st.integers(0, 2**18), min_size=1, max_size=5), TOKENS, st.integers(1, 4))
def test_a_client_sees_the_stream_that_it_would_have_seen(
    prompt: list[int], tokens: list[tuple[str, list[int]]], at_once: int
) -> None:
    emitted = Emitted(shown=False)
    frames = stream(prompt, tokens, with_ids=True)
    pieces = [b"".join(frames[place : place + at_once]) for place in range(0, len(frames), at_once)]
    assert b"".join(map(emitted.take, pieces)) == b"".join(stream(prompt, tokens, with_ids=False))
    assert emitted.prompt_ids() == prompt
    assert emitted.ids() == [*[token for _, ids in tokens for token in ids], 9]
    assert emitted.finished
    assert emitted.done
    assert emitted.head() == {"id": "chatcmpl-1", "created": 7, "model": "m"}


@given(TOKENS)
def test_a_client_that_asked_for_ids_sees_them(tokens: list[tuple[str, list[int]]]) -> None:
    emitted = Emitted(shown=True)
    frames = b"".join(stream([1], tokens, with_ids=True))
    assert emitted.take(frames) == frames


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=6), st.integers(0, 3))
def test_the_last_ids_are_taken_back(steps: list[list[int]], count: int) -> None:
    emitted = Emitted(shown=False)
    for ids in steps:
        emitted.take(frame({**HEAD, "choices": [{"text": "x", "finish_reason": None, "token_ids": ids}]}))
    said = [token for ids in steps for token in ids]
    count = min(count, len(said))
    emitted.forget(count)
    assert emitted.ids() == said[: len(said) - count]


def test_a_stream_without_ids_has_none() -> None:
    emitted = Emitted(shown=False)
    emitted.take(frame({**HEAD, "choices": []}))
    assert emitted.prompt_ids() is None
    assert emitted.ids() == []
    assert not emitted.finished


def test_ids_are_asked_for_once() -> None:
    assert json.loads(ask_for_ids(b' {"model":"m"}', {"model": "m"})) == {"model": "m", "return_token_ids": True}
    assert ask_for_ids(b'{"return_token_ids":true}', {"return_token_ids": True}) == b'{"return_token_ids":true}'


def test_no_more_ids_are_kept_than_an_answer_can_have() -> None:
    emitted = Emitted(shown=False)
    piece = b'data: {"prompt_token_ids":[' + b"1," * 500_000 + b'1],"token_ids":[' + b"1," * 500_000 + b"1]}\n\n"
    for _ in range(20):
        assert len(emitted.take(piece)) < 2_000_000
    assert 2**21 < emitted.count() <= MOST_ID_BYTES
    with pytest.raises(NotExact, match="more token ids"):
        emitted.ids()


@pytest.mark.parametrize("first", [b"data: none\n\n", b"data: [1]\n\n", b"data: " + b"[" * 50_000 + b"\n\n"])
def test_a_stream_whose_first_event_cannot_be_read_is_not_continued(first: bytes) -> None:
    emitted = Emitted(shown=False)
    emitted.take(first)
    with pytest.raises(NotExact, match="first event"):
        emitted.head()
