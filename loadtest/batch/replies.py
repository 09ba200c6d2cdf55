"""How a batch's requests travel through the pullers, and what of a reply stands in its line."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec

from loadtest.batch.lines import Line
from loadtest.client import Outcome


def packed(line: Line) -> bytes:
    """Path and body in one piece: what a puller of `routed` calls is given."""
    return line.url.encode() + b"\n" + line.body


def answer_line(custom_id: str, outcome: Outcome) -> dict[str, Any]:
    """A line of output.jsonl. Raises msgspec.DecodeError where the reply is no JSON."""
    assert outcome.answer is not None
    body = msgspec.json.decode(outcome.answer.data)
    response = {"status_code": 200, "request_id": uuid4().hex, "body": body}
    return {"id": f"batch_req_{uuid4().hex}", "custom_id": custom_id, "response": response, "error": None}


def failure_line(custom_id: str, error: str) -> dict[str, Any]:
    """A line of errors.jsonl."""
    code = "request_failed" if error.startswith("status") else "no_answer"
    told = {"code": code, "message": error}
    return {"id": f"batch_req_{uuid4().hex}", "custom_id": custom_id, "response": None, "error": told}
