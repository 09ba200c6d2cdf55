from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors import ApiError, engine_error, error_event


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


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        (b'{"error": {"message": "m", "type": "BadRequestError", "param": "x", "code": 400}}', "m", "x", None),
        (b'{"error": {"message": "m", "code": "too_long"}}', "m", None, "too_long"),
        (b'{"object": "error", "message": "m"}', "m", None, None),
        (b'{"detail": "Not Found"}', "Not Found", None, None),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "[{'loc': ['body'], 'msg': ", None, None),
        (b'{"error": "plain"}', "plain", None, None),
        (b"Internal Server Error", "Internal Server Error", None, None),
        (b"", "the engine answered with status 400", None, None),
        (b"{}", "the engine answered with status 400", None, None),
        (b"\xff", "\ufffd", None, None),
    ],
)
def test_an_engines_error_keeps_its_words(body: bytes, message: str, param: str | None, code: str | None) -> None:
    error = engine_error(400, body)
    assert error.status == 400
    assert error.message.startswith(message)
    assert (error.param, error.code) == (param, code)


@given(st.binary(max_size=80) | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps))
def test_whatever_an_engine_says_is_an_error_object(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    error = json.loads(engine_error(502, raw).body())["error"]
    assert error["message"]
    assert error["type"] == "server_error"
