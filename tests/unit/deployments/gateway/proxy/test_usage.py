from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.admission.limits import Unit
from deployments.gateway.proxy.usage import AnswerUsage, ask_for_usage, insist_on_usage


@pytest.mark.parametrize(
    ("unit", "body", "amount"),
    [
        (Unit.TOKENS, b'{"id": 1, "usage": {"prompt_tokens": 5, "total_tokens": 12, "other": {}}}', 12),
        (Unit.AUDIO, b'{"text": "x", "usage": {"type": "duration", "seconds": 3}}', 3),
        (Unit.AUDIO, b'{"usage": {"total_tokens": 12}}', None),
        (Unit.TOKENS, b'{"usage": null}', None),
        (Unit.TOKENS, b'{"usage": {"total_tokens": "many"}}', None),
        (Unit.TOKENS, b'{"usage": {"total_tokens": 999999999999999999}}', None),
        (Unit.TOKENS, b'{"usage": {"total_tokens": -5}}', None),
        (Unit.AUDIO, b'{"usage": {"seconds": 1e300}}', None),
        (Unit.TOKENS, b'{"text": "x"}', None),
        (Unit.TOKENS, b"plain text", None),
        (Unit.TOKENS, b"", None),
        (Unit.TOKENS, b"[" * 100_000, None),
        (Unit.TOKENS, b'{"usage": "\xff"}', None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_an_answer_says_of_its_cost(unit: Unit, body: bytes, amount: float | None) -> None:
    usage = AnswerUsage()
    usage.take_whole(body)
    assert usage.amount(unit, 100) == amount


@pytest.mark.parametrize(
    ("body", "output", "cached"),
    [
        ({"completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 32}}, 7, 32),
        ({"output_tokens": 7, "input_tokens_details": {"cached_tokens": 32}}, 7, 32),
        ({"completion_tokens": 7, "prompt_tokens_details": None}, 7, None),
        ({"completion_tokens": 0}, 0, None),
    ],
)
def test_tokens_of_answer_and_cache(body: dict[str, Any], output: int, cached: int | None) -> None:
    usage = AnswerUsage()
    usage.take_whole(json.dumps({"usage": body}).encode())
    assert (usage.output_tokens, usage.cached_tokens) == (output, cached)


def frames(*contents: str) -> bytes:
    return "".join(f"data: {content}\n\n" for content in contents).encode()


TOKEN = '{"choices": [{"text": "x"}], "usage": null}'
REPORT = '{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}'
SAID = '{"choices": [{"text": "\\"usage\\": {"}]}'


def test_a_stream_without_a_report_is_counted() -> None:
    stream = AnswerUsage()
    assert stream.amount(Unit.TOKENS, 100) is None
    for piece in (frames(TOKEN), frames(TOKEN, TOKEN), frames(SAID), b""):
        assert stream.take_frames(piece) == piece
    assert stream.amount(Unit.TOKENS, 100) == 104
    assert stream.output_tokens is None


@pytest.mark.parametrize(
    "last",
    [
        REPORT,
        '{"choices":[],"usage":{"total_tokens":7}}',
        '{"type": "response.completed", "response": {"id": "x", "usage": {"input_tokens": 5, "total_tokens": 7}}}',
    ],
)
def test_what_a_stream_reports_goes_before_what_was_counted(last: str) -> None:
    stream = AnswerUsage()
    stream.take_frames(frames(TOKEN, '{"usage": {"total_tokens": 6}}', TOKEN))
    assert stream.amount(Unit.TOKENS, 100) == 6
    piece = frames(last) + b"data: [DONE]\n\n"
    assert stream.take_frames(piece) == piece
    assert stream.amount(Unit.TOKENS, 100) == 7


def test_a_hidden_report_is_read_and_not_passed_on() -> None:
    stream = AnswerUsage(hidden=True)
    done = b"data: [DONE]\n\n"
    assert stream.take_frames(frames(TOKEN, SAID)) == frames(TOKEN, SAID)
    assert stream.take_frames(frames(TOKEN, REPORT) + done) == frames(TOKEN) + done
    assert (stream.output_tokens, stream.amount(Unit.TOKENS, 100)) == (2, 7)


def test_a_hidden_report_beside_a_token_is_passed_on() -> None:
    stream = AnswerUsage(hidden=True)
    both = frames('{"choices": [{"text": "x"}], "usage": {"total_tokens": 7}}')
    assert stream.take_frames(both) == both
    assert stream.amount(Unit.TOKENS, 100) == 7


@pytest.mark.parametrize(
    ("body", "added"),
    [
        ({"model": "m", "stream": True}, True),
        ({"stream": True}, True),
        ({"stream": False}, False),
        ({"model": "m"}, False),
        ({"stream": "yes"}, False),
        ({"stream": True, "stream_options": None}, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, False),
    ],
)
def test_the_report_is_asked_for_where_the_client_says_nothing_of_it(body: dict[str, Any], added: bool) -> None:
    for space in (b"", b" \n\t"):
        sent, hidden = ask_for_usage(space + json.dumps(body).encode(), body)
        assert hidden is added
        options = {"stream_options": {"include_usage": True}} if added else {}
        assert json.loads(sent) == {**body, **options}


@given(st.binary(max_size=80), st.booleans())
def test_any_frames_are_taken_and_none_is_lost(piece: bytes, hidden: bool) -> None:
    stream = AnswerUsage(hidden)
    assert stream.take_frames(piece + b"\n\n").replace(b"\n", b"") == piece.replace(b"\n", b"")
    assert stream.reported() is None or hidden is not None


@pytest.mark.parametrize("options", [{}, {"include_usage": False, "continuous_usage_stats": True, "x": 1}])
def test_a_client_cannot_leave_out_what_it_is_charged_by(options: dict[str, object]) -> None:
    body: dict[str, object] = {"stream": True, "stream_options": options}
    assert insist_on_usage(body)
    assert body["stream_options"] == {**options, "include_usage": True, "continuous_usage_stats": False}


def test_null_stream_options_do_not_leave_the_usage_out() -> None:
    body: dict[str, object] = {"stream": True, "stream_options": None}
    assert insist_on_usage(body)
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": False}
    assert not insist_on_usage({"stream": True}), "those without any are completed as bytes"


@pytest.mark.parametrize("options", [{"include_usage": True}, 7])
def test_other_stream_options_stay_as_they_are(options: object) -> None:
    body = {"stream": True, "stream_options": options}
    assert not insist_on_usage(body)
    assert body["stream_options"] == options
