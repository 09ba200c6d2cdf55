from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.admission.limits import Unit
from deployments.gateway.proxy.charging import Work
from deployments.gateway.proxy.usage import AnswerUsage
from deployments.routing import Booking, Request, Router
from deployments.routing.seeds import UNKNOWN

TOKEN = b'data: {"choices": [{"text": "x"}], "usage": null}\n\n'
REPORT = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 95, "total_tokens": 100}}\n\n'


def booking(sequences: int = 1) -> Booking:
    """A request booked at 0 s whose first token came at 1 s."""
    router = Router("m")
    router.add("a", "a", "pool", 10, UNKNOWN)
    made = router.place(Request(tokens=10, sequences=sequences), 0.0)
    assert made
    router.first_token(made, 1.0)
    return made


def work(sequences: int = 1, allowed_tokens: int = 0, token_s: float = 0.01) -> Work:
    made = Work(10, sequences, allowed_tokens)
    made.sent_to(booking(sequences), token_s)
    return made


def test_a_request_that_no_engine_has_seen_is_charged_nothing() -> None:
    for unit in (Unit.TOKENS, Unit.AUDIO):
        assert Work(10, 16, 4096).used(unit, AnswerUsage(), 100.0) == 0


def test_the_engines_report_of_the_whole_answer_goes_before_everything_else() -> None:
    usage = AnswerUsage(hidden=True)
    usage.take_frames(TOKEN * 3 + REPORT)
    assert work(sequences=8).used(Unit.TOKENS, usage, 500.0) == 100
    whole = AnswerUsage()
    whole.take_whole(json.dumps({"usage": {"total_tokens": 5776}}).encode())
    assert work(sequences=60).used(Unit.TOKENS, whole, 500.0) == 5776


def test_a_followed_stream_whose_client_left_is_charged_its_token_ids() -> None:
    usage = AnswerUsage()
    usage.take_frames(TOKEN * 3)
    made = work()
    made.emitted = 7
    assert made.used(Unit.TOKENS, usage, 500.0) == 17
    made.allowed_tokens = 4
    assert made.used(Unit.TOKENS, usage, 500.0) == 14, "an engine that tells more ids than it may has them wrong"


@pytest.mark.parametrize(
    ("sequences", "allowed", "frames", "charged"),
    [
        (1, 0, 3, 10 + 200),  # two seconds at 10 ms a token
        (16, 0, 0, 10 + 3200),  # an answer that does not stream shows nothing
        (16, 160, 0, 10 + 160),  # and cannot have had more than it may
        (1, 0, 300, 10 + 300),  # what was seen was computed
    ],
)
def test_other_answers_that_were_cut_short_are_charged_by_time_and_frames(
    sequences: int, allowed: int, frames: int, charged: int
) -> None:
    usage = AnswerUsage()
    usage.take_frames(TOKEN * frames)
    assert work(sequences, allowed).used(Unit.TOKENS, usage, 3.0) == pytest.approx(charged)


def test_reports_on_the_way_are_a_lower_bound() -> None:
    usage = AnswerUsage()
    usage.take_frames(b'data: {"choices": [{"index": 3}], "usage": {"total_tokens": 900}}\n\n')
    assert not usage.is_final
    assert work().used(Unit.TOKENS, usage, 1.5) == 900


def test_audio_without_a_report_stays_charged_by_its_length() -> None:
    assert work().used(Unit.AUDIO, AnswerUsage(), 3.0) is None


@given(st.integers(0, 50), st.floats(0, 1e4), st.integers(1, 100), st.integers(0, 10_000))
def test_never_less_than_what_was_seen(frames: int, now: float, sequences: int, allowed: int) -> None:
    usage = AnswerUsage()
    usage.take_frames(TOKEN * frames)
    charged = work(sequences, allowed).used(Unit.TOKENS, usage, now)
    assert charged is not None
    assert charged >= 10 + frames
