"""Bodies of the JSON routes: the fields that the fake engine acts on. Others are accepted and ignored, as by vLLM."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

from deployments.engine.fake.errors import EngineError, bad_body


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class Generation(msgspec.Struct, kw_only=True):
    """What the text routes share."""

    model: str | None = None
    max_tokens: int | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False
    cache_salt: str | None = None
    return_token_ids: bool | None = False

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def counts_on_the_way(self) -> bool:
        return self.includes_usage and bool(self.stream_options and self.stream_options.continuous_usage_stats)


class Message(msgspec.Struct):
    """One turn. `content` is text, parts, or nothing beside tool calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatRequest(Generation, kw_only=True):
    messages: list[Message]
    max_completion_tokens: int | None = None
    kv_transfer_params: dict[str, Any] | None = None


class CompletionRequest(Generation, kw_only=True):
    prompt: str | list[int | str | list[int]] | None = None


class ResponsesRequest(msgspec.Struct, kw_only=True):
    input: str | list[dict[str, Any]]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = False


class TokenizeRequest(msgspec.Struct, kw_only=True):
    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    return_token_strs: bool | None = False


class DetokenizeRequest(msgspec.Struct, kw_only=True):
    tokens: list[int]
    model: str | None = None


Body = TypeVar("Body", bound=msgspec.Struct)


async def read_json(request: web.Request, body_type: type[Body]) -> Body:
    """The request's body. Raises EngineError for another media type, malformed JSON or a field of the wrong type."""
    if request.content_type != "application/json":
        raise bad_body("Unsupported Media Type: Only 'application/json' is allowed")
    try:
        return msgspec.json.decode(await request.read(), type=body_type)
    except msgspec.ValidationError as error:
        raise bad_body(f"1 validation error: {error}", _field(str(error))) from error
    except msgspec.DecodeError as error:
        raise bad_body(f"JSON decode error: {error}", "body") from error


def checked_limit(value: int | None, param: str) -> int | None:
    """A limit on new tokens as a client gave it. Raises EngineError where it is below 1."""
    if value is not None and value < 1:
        raise EngineError(f"{param} must be at least 1, got {value}.", param=param)
    return value


def _field(message: str) -> str | None:
    _, found, path = message.partition(" - at `$.")
    return f"body.{path.rstrip('`')}" if found else "body"


def checked_choices(n: int | None) -> None:
    """Raises EngineError for more than one answer to a prompt."""
    if n is not None and n != 1:
        raise EngineError(f"this engine gives one answer to a prompt: n must be 1, got {n}.", param="n")
