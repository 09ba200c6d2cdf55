from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.limits import Unit
from deployments.gateway.usage import StreamUsage, used


@pytest.mark.parametrize(
    ("unit", "body", "amount"),
    [
        (Unit.TOKENS, b'{"id": 1, "usage": {"prompt_tokens": 5, "total_tokens": 12, "other": {}}}', 12),
        (Unit.AUDIO, b'{"text": "x", "usage": {"type": "duration", "seconds": 3}}', 3),
        (Unit.AUDIO, b'{"usage": {"total_tokens": 12}}', None),
        (Unit.TOKENS, b'{"usage": null}', None),
        (Unit.TOKENS, b'{"usage": {"total_tokens": "many"}}', None),
        (Unit.TOKENS, b'{"text": "x"}', None),
        (Unit.TOKENS, b"plain text", None),
        (Unit.TOKENS, b"", None),
        (Unit.TOKENS, b"[" * 100_000, None),
        (Unit.TOKENS, b'{"usage": "\xff"}', None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_an_answer_says_of_its_cost(unit: Unit, body: bytes, amount: float | None) -> None:
    assert used(unit, body) == amount


def frames(*contents: str) -> bytes:
    return "".join(f"data: {content}\n\n" for content in contents).encode()


TOKEN = '{"choices": [{"text": "x"}], "usage": null}'


def test_a_stream_without_a_report_is_counted() -> None:
    stream = StreamUsage(100)
    assert stream.tokens == 100
    for piece in (frames(TOKEN), frames(TOKEN, TOKEN), frames('{"choices": [{"text": "\\"usage\\": {"}]}'), b""):
        stream.read(piece)
    assert stream.tokens == 104


@pytest.mark.parametrize(
    "last",
    [
        '{"choices": [], "usage": {"prompt_tokens": 5, "total_tokens": 7}}',
        '{"choices":[],"usage":{"total_tokens":7}}',
        '{"type": "response.completed", "response": {"id": "x", "usage": {"input_tokens": 5, "total_tokens": 7}}}',
    ],
)
def test_what_a_stream_reports_goes_before_what_was_counted(last: str) -> None:
    stream = StreamUsage(100)
    stream.read(frames(TOKEN, '{"usage": {"total_tokens": 6}}', TOKEN))
    assert stream.tokens == 6
    stream.read(frames(last) + b"data: [DONE]\n\n")
    assert stream.tokens == 7


def test_events_with_names_are_read_too() -> None:
    stream = StreamUsage(100)
    stream.read(b'event: response.completed\ndata: {"response": {"usage": {"total_tokens": 7}}}\n\n')
    assert stream.tokens == 7


@given(st.lists(st.sampled_from([b'"usage": {', b"data:", b"\n\n", b"{", b"}", b'"total_tokens": "x"', b"\xff"])))
def test_whatever_streams_is_counted(pieces: list[bytes]) -> None:
    stream = StreamUsage(3)
    for piece in pieces:
        stream.read(piece)
    assert stream.tokens == 3 + pieces.count(b"\n\n")
