"""How a batch's requests travel through the pullers, and what of a reply stands in its line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from loadtest.batch.lines import Line
from loadtest.benchmarks.base import Answer, BadReply
from loadtest.client import Outcome

NO_ANSWER = "no_answer"

_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class WholeReplies:
    """Replies as they came, but for their line ends: each is to be a part of one line."""

    def answer(self, reply: bytes) -> Answer:
        """Raises BadReply where it is no JSON object."""
        try:
            return Answer(_encoder.encode(_decoder.decode(reply)), 0, "")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadReply(f"the reply is no JSON object: {error}") from None


def packed(line: Line) -> bytes:
    """Path and body in one piece: what a puller of `routed` calls is given."""
    return line.url.encode() + b"\n" + line.body


def output_line(custom_id: str, outcome: Outcome) -> dict[str, Any]:
    """A line of output.jsonl or errors.jsonl, as OpenAI writes them: whatever an endpoint replied is a `response`, also
    an error; `error` tells why there is no reply."""
    response = error = None
    if outcome.answer is not None:
        response = _response(outcome, msgspec.Raw(outcome.answer.data))
    elif outcome.status in (0, HTTPStatus.OK):
        error = {"code": NO_ANSWER, "message": outcome.error}
    else:
        response = _response(outcome, _refusal(outcome))
    return {"id": f"batch_req_{uuid4().hex}", "custom_id": custom_id, "response": response, "error": error}


def _response(outcome: Outcome, body: Any) -> dict[str, Any]:
    return {"status_code": outcome.status, "request_id": outcome.request_id or uuid4().hex, "body": body}


def _refusal(outcome: Outcome) -> dict[str, Any]:
    """The reply, or an error object with its first words where it is no JSON object."""
    try:
        return _decoder.decode(outcome.refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"error": {"message": outcome.error, "type": None, "param": None, "code": None}}
