"""How an answer leaves: whole, or as server-sent events with one frame a token, written as steps end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol
from uuid import uuid4

import msgspec
from aiohttp import web

from deployments.engine.fake.batch import Sequence
from deployments.engine.fake.engine import Engine
from deployments.engine.fake.faults import AnswerBroken

DONE = b"data: [DONE]\n\n"


class Frames(Protocol):
    """Writes one kind of stream."""

    def token(self, index: int, sequence: Sequence, count: int) -> bytes:
        """The frames of the `count`-th new token (from 1) of `sequence`, the `index`-th of the request."""

    def closing(self) -> bytes:
        """What follows the last token."""


def sse(payload: Any) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


def json_response(payload: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(payload), content_type="application/json")


def answer_id(request: web.Request, prefix: str) -> str:
    """The client's own request id where it sent one, as vLLM does."""
    return f"{prefix}-{request.headers.get('X-Request-Id') or uuid4().hex}"


def usage_of(sequences: list[Sequence], new_tokens: int | None = None) -> dict[str, Any]:
    """Tokens of all `sequences` together; `new_tokens` counts only part of the answer."""
    prompt_tokens = sum(sequence.prompt_length for sequence in sequences)
    completion_tokens = sum(s.new_tokens for s in sequences) if new_tokens is None else new_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(sequence.cached_tokens or 0 for sequence in sequences)},
    }


def finish_reason_at(sequence: Sequence, count: int) -> str | None:
    """The finish reason where the `count`-th token is the last, else None."""
    return sequence.finish_reason if count == sequence.new_tokens else None


async def collect(request: web.Request, engine: Engine, sequences: list[Sequence], changed: asyncio.Event) -> None:
    """Runs `sequences`, which all report to `changed`, to their ends. Raises AnswerBroken where a fault says so."""
    breakage = engine.faults.take_breakage()
    for sequence in sequences:
        sequence.streams = breakage is not None
    sent = 0
    with engine.running(sequences):
        async for tokens in _new_tokens(sequences, changed):
            sent += len(tokens)
            if breakage and sent >= breakage.after_tokens:
                await breakage.happen(request)
                raise AnswerBroken


async def stream(
    request: web.Request, engine: Engine, sequences: list[Sequence], changed: asyncio.Event, frames: Frames
) -> web.StreamResponse:
    """Runs `sequences` and writes their frames. Raises AnswerBroken where a fault says so."""
    breakage = engine.faults.take_breakage()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    sent = 0
    with engine.running(sequences):
        if breakage and not breakage.after_tokens:
            await breakage.happen(request)
            raise AnswerBroken
        await response.prepare(request)
        async for tokens in _new_tokens(sequences, changed):
            allowed = tokens[: breakage.after_tokens - sent] if breakage else tokens
            await response.write(b"".join(frames.token(index, sequences[index], count) for index, count in allowed))
            sent += len(allowed)
            if breakage and sent == breakage.after_tokens:
                await breakage.happen(request)
                raise AnswerBroken
    await response.write(frames.closing())
    await response.write_eof()
    return response


async def _new_tokens(sequences: list[Sequence], changed: asyncio.Event) -> AsyncIterator[list[tuple[int, int]]]:
    """(index of the sequence, count of its tokens so far) of the tokens that came since the last time, to the end."""
    seen = [0] * len(sequences)
    ended = False
    while not ended:
        await changed.wait()
        changed.clear()
        ended = all(sequence.finish_reason for sequence in sequences)
        fresh = [
            (index, count)
            for index, sequence in enumerate(sequences)
            for count in range(seen[index] + 1, sequence.new_tokens + 1)
        ]
        seen = [sequence.new_tokens for sequence in sequences]
        yield fresh
