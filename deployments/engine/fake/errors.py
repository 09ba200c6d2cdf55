"""Errors in the shape that vLLM's OpenAI server gives them."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web


class EngineError(Exception):
    """An answer that is an error: `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(
        self,
        message: str,
        status: int = HTTPStatus.BAD_REQUEST,
        error_type: str = "BadRequestError",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_type = error_type
        self.param = param

    def response(self) -> web.Response:
        error = {"message": self.message, "type": self.error_type, "param": self.param, "code": int(self.status)}
        return web.json_response({"error": error}, status=self.status)


def from_status(status: int, message: str) -> EngineError:
    """An error that the HTTP layer raises by itself: its type is the status's own phrase."""
    return EngineError(message, status, HTTPStatus(status).phrase)


def bad_body(message: str, param: str | None = None) -> EngineError:
    """A body that is not what the route expects."""
    return EngineError(message, HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase, param)


def unknown_model(name: str, served: tuple[str, ...]) -> EngineError:
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(served)}."
    return EngineError(message, HTTPStatus.NOT_FOUND, "NotFoundError", "model")
