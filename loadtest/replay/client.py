"""Asks one request over HTTP and reads its stream: when tokens came, how many the endpoint counts, and who answered."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from msgspec import DecodeError, Struct
from msgspec import json as msgjson

from deployments.http_sessions import failure_text
from loadtest.client import CONNECT_TIMEOUT_S, POOL_HEADER, QUOTED_REPLY, REPLICA_HEADER
from loadtest.sse import Events, EventTooLong

SESSION_HEADER = "x-session-id"

TIMED_OUT, NO_ANSWER, CUT, BROKEN = "timeout", "no answer", "cut stream", "broken answer"
"""Failures that have no status."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One request, ready to leave. `timeout_s` bounds it from its first byte to its last."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float


@dataclass(slots=True)
class Reply:
    """What came back. Times are of time.perf_counter(); NaN where it did not come to that.

    Attributes:
        frames: events with a part of the answer.
        output_tokens: as the endpoint counts them; None where it does not tell.
        failure: empty where the whole answer came, else the status or one of this module's words.
    """

    first_s: float = math.nan
    end_s: float = math.nan
    frames: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    replica: str = ""
    pool: str = ""
    failure: str = ""
    detail: str = ""


async def ask(session: aiohttp.ClientSession, sending: Sending) -> Reply:
    """The reply to one request; a failure is part of it. Only a cancellation is raised."""
    reply = Reply()
    try:
        timeout = aiohttp.ClientTimeout(total=sending.timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        async with session.post(sending.url, data=sending.body, headers=sending.headers, timeout=timeout) as response:
            reply.replica = response.headers.get(REPLICA_HEADER, "")
            reply.pool = response.headers.get(POOL_HEADER, "")
            if response.status == 200:
                await _read(response, reply)
            else:
                reply.failure = str(response.status)
                reply.detail = (await response.content.read(QUOTED_REPLY)).decode("utf-8", "replace")
    except TimeoutError:
        reply.failure, reply.detail = TIMED_OUT, f"no whole answer within {sending.timeout_s:g} s"
    except (aiohttp.ClientError, OSError) as error:
        reply.failure = CUT if reply.frames else NO_ANSWER
        reply.detail = failure_text(error)[:QUOTED_REPLY]
    reply.end_s = time.perf_counter()
    return reply


async def _read(response: aiohttp.ClientResponse, reply: Reply) -> None:
    """Reads events to the end of the stream."""
    events = Events()
    try:
        async for piece in response.content.iter_any():
            now = time.perf_counter()
            for event in events.feed(piece):
                _take(event, reply, now)
            if reply.failure:
                return
        for event in events.end():
            _take(event, reply, time.perf_counter())
    except EventTooLong as error:
        reply.failure, reply.detail = BROKEN, str(error)
    if not (events.done or reply.failure):
        reply.failure, reply.detail = CUT, "the stream ended without its last event"


def _take(event: bytes, reply: Reply, now: float) -> None:
    """Books one event."""
    try:
        frame = _frames.decode(event)
    except DecodeError as error:
        reply.failure, reply.detail = BROKEN, f"an event is no JSON of the expected shape: {error}"
        return
    if frame.error is not None:
        reply.failure, reply.detail = CUT if reply.frames else BROKEN, str(frame.error)[:QUOTED_REPLY]
        return
    if frame.choices:
        # An answer's first event comes with its first token, though it may show no text yet: a role, or half a letter.
        reply.first_s = now if not reply.frames else reply.first_s
        reply.frames += 1
    if frame.usage is not None:
        details = frame.usage.prompt_tokens_details
        reply.input_tokens, reply.output_tokens = frame.usage.prompt_tokens, frame.usage.completion_tokens
        reply.cached_tokens = (details.cached_tokens or 0) if details else 0


class _Details(Struct):
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Frame(Struct):
    choices: list[Any] = []
    usage: _Usage | None = None
    error: Any = None


_frames = msgjson.Decoder(_Frame)
