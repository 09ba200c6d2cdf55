"""OpenAI's error object, for our own errors and for those of engines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

TYPES = {403: "permission_error", 429: "rate_limit_error"}
CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 429: "rate_limit_exceeded"}


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
        self.status, self.message, self.param = status, message, param
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
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        code = None
    return engine_error(code if type(code) is int and 400 <= code < 600 else 500, content)


def engine_error(status: int, body: bytes) -> ApiError:
    """An engine's error answer, whatever its shape, as one of ours with the same status."""
    message, param, code = _parts(body)
    return ApiError(status, message or f"the engine answered with status {status}", param=param, code=code)


def _parts(body: bytes) -> tuple[str, str | None, str | None]:
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace").strip()[:1000], None, None
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return str(error)[:1000], None, None
    message = error.get("message") or error.get("detail") or ""
    param, code = error.get("param"), error.get("code")
    return str(message), param if isinstance(param, str) else None, code if isinstance(code, str) else None
