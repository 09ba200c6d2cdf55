"""OpenAI's error object, for our own errors and for those of engines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from deployments.gateway.errors.engine_errors import general, readable, readable_param

TYPES = {403: "permission_error", 429: "rate_limit_error"}
CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 429: "rate_limit_exceeded"}

MOST_READ = 64 * 1024
"""Bytes of an engine's error answer that are read."""

MOST_ECHO = 100
"""Characters of a client's own text in a message."""

MOST_MESSAGE = 2000
"""Characters of a message."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, or are nested too deeply."""

ERROR_FRAME = b'data: {"error"'


class ApiError(Exception):
    """An answer that is an error. `param` is the request field at fault, `code` a word that programs can test."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, shortened(message, MOST_MESSAGE), param
        self.code = code or CODES.get(status)
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        return error_body(self.status, self.message, self.param, self.code)

    def response(self) -> web.Response:
        headers = self.headers
        if self.retry_after_s is not None:
            headers = {**headers, "Retry-After": str(max(1, math.ceil(self.retry_after_s)))}
        return web.Response(status=self.status, body=self.body(), content_type="application/json", headers=headers)


class ComputedError(ApiError):
    """The refusal of an answer that an engine has computed: its request is charged as one that was cut short."""


def error_type(status: int) -> str:
    return TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error object as JSON."""
    error = {"message": message, "type": error_type(status), "param": param, "code": code}
    return msgspec.json.encode({"error": error})


def error_event(message: str, code: str) -> bytes:
    """The SSE frame that ends a stream which cannot go on: clients raise on it instead of taking a cut for an end."""
    return b"data: " + error_body(500, message, None, code) + b"\n\n"


def event_error(frames: bytes) -> ApiError:
    """The error that a stream's first frame holds, with the status that the engine would have given it."""
    content = frames.partition(b"\n\n")[0].removeprefix(b"data:").strip()
    try:
        error: Any = msgspec.json.decode(content)
        code = error["error"].get("code")
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        code = None
    return engine_error(code if type(code) is int and 400 <= code < 600 else 500, content)


def engine_error(status: int, body: bytes) -> ApiError:
    """An engine's error answer, whatever its shape, as one of ours with the same status.

    Its text is passed on where it has a known form: others may name what clients must not know.
    """
    message, param, code = _parts(body[:MOST_READ])
    return ApiError(status, readable(message) or general(status, param), param=param, code=code)


def readable_frames(frames: bytes) -> bytes:
    """Frames of a stream in which an engine reports errors, with no more than clients may read of them."""
    return b"\n\n".join(_readable_frame(frame) for frame in frames.split(b"\n\n"))


def shortened(text: str, most: int = MOST_ECHO) -> str:
    """A text that a client sent, short enough for a message."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _readable_frame(frame: bytes) -> bytes:
    if not frame.startswith(ERROR_FRAME):
        return frame
    payload = frame.removeprefix(b"data: ")
    status = _status(payload)
    error = engine_error(status, payload)
    return b"data: " + error.body()


def _status(payload: bytes) -> int:
    """The status that an error event names as its code, as vLLM does; 500 where it names none."""
    try:
        code = msgspec.json.decode(payload)["error"]["code"]
    except (*UNREADABLE, KeyError, TypeError):
        return 500
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _parts(body: bytes) -> tuple[str, str | None, str | None]:
    """Message, `param` and `code` of an engine's answer."""
    try:
        content: Any = msgspec.json.decode(body)
    except UNREADABLE:
        return body.decode(errors="replace"), None, None
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return str(error), None, None
    message, code = error.get("message") or error.get("detail") or "", error.get("code")
    return str(message), readable_param(error.get("param")), readable_param(code)
