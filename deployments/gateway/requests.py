"""What the gateway reads of a request: the model, and how much work it is. The body stays bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from deployments.gateway.errors import ApiError
from deployments.gateway.media import check_media
from deployments.routing import Request
from deployments.routing.work import allowed_tokens, estimated_tokens

CHUNK = 256 * 1024


@dataclass
class Parsed:
    """A request that is ready to be sent, any number of times.

    Attributes:
        amount: what it may cost: tokens of prompt and answer, or seconds of audio.
        body: called anew for each attempt: the bytes themselves, or an iterator over a spooled file.
        length: the body's size in bytes.
    """

    model: str
    request: Request
    amount: float
    body: Callable[[], bytes | AsyncIterator[bytes]]
    length: int
    content_type: str
    raw: bytes = b""
    fields: dict[str, Any] | None = None
    """Of a JSON body, as it came: its bytes and what they say."""
    close: Callable[[], None] = field(default=lambda: None)


def check_length(request: web.Request, most: int, what: str) -> None:
    """Raises ApiError 413 where the client says that it sends more than `most` bytes."""
    if request.content_length is not None and request.content_length > most:
        raise too_large(what, most)


def too_large(what: str, most: int) -> ApiError:
    return ApiError(413, f"{what} may have at most {most / 2**20:g} MiB; send a smaller one")


async def read_json(request: web.Request, most_bytes: int, media_domains: Sequence[str] = ()) -> Parsed:
    """Reads and parses a JSON body once. Raises ApiError 400 or 413 where it cannot be used."""
    check_length(request, most_bytes, "a JSON body")
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > most_bytes:
            raise too_large("a JSON body", most_bytes)
        pieces.append(piece)
    raw = b"".join(pieces)
    if not raw:
        raise ApiError(400, "the body is empty; send a JSON object")
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, f"the body is a JSON {_kind(body)}; send an object")
    check_media(body, media_domains)
    _check_boolean(body, "stream")
    tokens = estimated_tokens(body)
    return Parsed(
        model=model_name(body.get("model")),
        request=Request(tokens=tokens, streams=body.get("stream") is True),
        amount=tokens + allowed_tokens(body),
        body=lambda: raw,
        length=size,
        content_type="application/json",
        raw=raw,
        fields=body,
    )


def model_name(value: Any) -> str:
    """Checks a `model` field. Raises ApiError 400 where it is missing or of a wrong type."""
    if value is None or value == "":
        raise ApiError(400, "you must provide a `model`; GET /v1/models lists them", param="model")
    if not isinstance(value, str):
        raise ApiError(400, f"`model` is a JSON {_kind(value)}; send a string", param="model")
    return value


def _check_boolean(body: dict[str, Any], name: str) -> None:
    """Engines take many words for true: a client that sends one may mean something else."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"`{name}` is a JSON {_kind(value)}; send true or false", param=name)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
