from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import (
    MOST_MESSAGE,
    ApiError,
    engine_error,
    error_event,
    readable_frames,
    shortened,
)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", None),
        (404, "invalid_request_error", "not_found"),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", None),
        (503, "server_error", None),
    ],
)
def test_openais_error_object(status: int, kind: str, code: str | None) -> None:
    answer = ApiError(status, "what and why", param="model").response()
    assert answer.status == status
    assert answer.content_type == "application/json"
    assert isinstance(answer.body, bytes)
    error = {"message": "what and why", "type": kind, "param": "model", "code": code}
    assert json.loads(answer.body) == {"error": error}


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (0.2, "1"), (7.4, "8"), (60, "60")])
def test_retry_after_is_in_whole_seconds(seconds: float | None, header: str | None) -> None:
    assert ApiError(429, "later", retry_after_s=seconds).response().headers.get("Retry-After") == header


def test_an_error_event_is_one_whole_frame() -> None:
    event = error_event("it broke", "replica_failed")
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n\n") == 1
    assert json.loads(event[6:])["error"] == {
        "message": "it broke",
        "type": "server_error",
        "param": None,
        "code": "replica_failed",
    }


KNOWN = "stop cannot contain an empty string."
REFUSED = "the engine answered with status 400: it refuses the request"


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        ({"error": {"message": KNOWN, "type": "BadRequestError", "param": "x", "code": 400}}, KNOWN, "x", None),
        ({"error": {"message": KNOWN, "code": "too_long"}}, KNOWN, None, "too_long"),
        ({"object": "error", "message": KNOWN}, KNOWN, None, None),
        ({"detail": KNOWN}, KNOWN, None, None),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, REFUSED, None, None),
        ({"error": "Field required"}, "Field required", None, None),
        (
            {"error": {"message": "unheard of", "param": "temperature"}},
            f"{REFUSED} because of `temp",
            "temperature",
            None,
        ),
        ({"error": {"message": KNOWN, "param": "/etc/passwd"}}, KNOWN, None, None),
        (b"Internal Server Error", REFUSED, None, None),
        (b"", REFUSED, None, None),
        (b"{}", REFUSED, None, None),
        (b"\xff", REFUSED, None, None),
    ],
)
def test_an_engines_error_keeps_its_words_where_they_are_known(
    body: bytes | dict[str, object], message: str, param: str | None, code: str | None
) -> None:
    error = engine_error(400, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert error.status == 400
    assert error.message.startswith(message)
    assert (error.param, error.code) == (param, code)


def test_error_events_of_engines_say_no_more_than_their_answers() -> None:
    def event(message: str, code: int) -> bytes:
        payload = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}
        return b"data: " + json.dumps(payload).encode()

    text = b'data: {"choices":[{"delta":{"content":"{\\"error\\": 1}"}}]}'
    frames = b"\n\n".join([text, event(KNOWN, 400), event("died in /opt/x/y.py", 500), b"data: [DONE]", b""])
    first, known, hidden, done, end = readable_frames(frames).split(b"\n\n")
    assert (first, done, end) == (text, b"data: [DONE]", b"")
    assert json.loads(known[6:])["error"]["message"] == KNOWN
    assert json.loads(known[6:])["error"]["type"] == "invalid_request_error"
    assert json.loads(hidden[6:])["error"]["message"] == "the engine failed with status 500; send the request again"


@given(st.binary(max_size=60))
def test_frames_of_any_kind_stay_as_many(payload: bytes) -> None:
    frames = b'data: {"error"' + payload.replace(b"\n", b"") + b"\n\ndata: x\n\n"
    readable = readable_frames(frames).split(b"\n\n")
    assert len(readable) == 3
    assert json.loads(readable[0][6:])["error"]["message"]


def test_long_messages_are_cut() -> None:
    assert len(ApiError(400, "x" * 100_000).message) == MOST_MESSAGE
    assert shortened("x" * 100_000) == "x" * 97 + "..."
    assert shortened("short") == "short"


@given(st.binary(max_size=80) | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps))
def test_whatever_an_engine_says_is_an_error_object(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    error = json.loads(engine_error(502, raw).body())["error"]
    assert error["message"]
    assert error["type"] == "server_error"
