from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from loadtest.batch.lines import Line
from loadtest.batch.replies import WholeReplies, output_line, packed
from loadtest.benchmarks.base import BadReply
from loadtest.client import Call, Outcome


def outcome(**changes: Any) -> Outcome:
    return Outcome(**{"place": 1, "index": 1, "started": 0.0, "finished": 1.0, "attempts": 1} | changes)


def written(made: dict[str, Any]) -> dict[str, Any]:
    text = msgspec.json.encode(made)
    assert b"\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_goes_to_its_own_route() -> None:
    line = Line(1, "a", "/v1/completions", b'{\n"model": "m"}', "m")
    call = Call("http://h:1", {}, 1, 1, routed=True)
    assert call.addressed(packed(line)) == ("http://h:1/v1/completions", line.body)


def test_an_answer_is_the_whole_reply() -> None:
    answer = WholeReplies().answer(b'{\n "choices": [],\r\n "x": "a\\nb"\n}\n')
    line = written(output_line("a", outcome(answer=answer, status=200, request_id="r1")))
    assert line.pop("id").startswith("batch_req_")
    body = {"choices": [], "x": "a\nb"}
    response = {"status_code": 200, "request_id": "r1", "body": body}
    assert line == {"custom_id": "a", "response": response, "error": None}


@pytest.mark.parametrize("reply", [b"", b"<html>", b"[1]", b'{"a": 1', b"\xff", b'{"a": ' + b"[" * 10**5])
def test_no_json_object_is_no_reply(reply: bytes) -> None:
    with pytest.raises(BadReply, match="no JSON object"):
        WholeReplies().answer(reply)


def test_an_error_of_the_endpoint_is_a_response_as_openai_has_it() -> None:
    refusal = b'{"error": {"message": "too long", "type": "invalid_request_error", "param": null, "code": null}}'
    line = written(output_line("a", outcome(error="status 400: ...", status=400, request_id="r1", refusal=refusal)))
    del line["id"]
    response = {"status_code": 400, "request_id": "r1", "body": json.loads(refusal)}
    assert line == {"custom_id": "a", "response": response, "error": None}


@pytest.mark.parametrize("refusal", [b"", b"<html>bad gateway</html>", b"[]", b"\xff"])
def test_an_error_that_is_no_json_is_told_in_openais_form(refusal: bytes) -> None:
    line = written(output_line("a", outcome(error="status 502: ?", status=502, refusal=refusal)))
    assert line["response"]["status_code"] == 502
    assert line["response"]["body"]["error"]["message"] == "status 502: ?"
    assert line["response"]["request_id"]


@pytest.mark.parametrize("status", [0, 200])
def test_where_no_reply_came_the_error_says_why(status: int) -> None:
    line = written(output_line("a", outcome(error="no whole answer within 5 s", status=status)))
    assert (line["response"], line["error"]) == (
        None,
        {"code": "no_answer", "message": "no whole answer within 5 s"},
    )
