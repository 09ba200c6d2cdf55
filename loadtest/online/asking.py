"""Asks one sample as a stream over HTTP and notes when its first token came; a sample's own failure is not raised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from deployments.http_sessions import failure_text
from loadtest.benchmarks.base import Answer, AnswerStream, BadReply, Benchmark
from loadtest.client import (
    CONNECT_TIMEOUT_S,
    POOL_HEADER,
    QUOTED_REPLY,
    REPLICA_HEADER,
    RETRIED_STATUS,
    Call,
    Outcome,
    pause,
)
from loadtest.sse import Events, EventTooLong

FirstToken = Callable[[bytes], None]
"""Gets LoadGen's bytes of the first token, once it is there."""


class _Refused(Exception):
    """A status that no repetition mends."""


async def ask_stream(
    session: aiohttp.ClientSession,
    call: Call,
    benchmark: Benchmark,
    outcome: Outcome,
    body: bytes,
    on_first: FirstToken,
) -> Outcome:
    """Fills the outcome of one sample. It is asked again, `call.attempts` times at most, as long as no token came."""
    outcome.started = time.time()
    timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S)
    while outcome.attempts < call.attempts:
        if outcome.attempts:
            await asyncio.sleep(pause(outcome.attempts))
        outcome.attempts += 1
        stream = benchmark.stream()
        try:
            async with session.post(call.url, data=body, headers=call.headers, timeout=timeout) as response:
                outcome.pool = response.headers.get(POOL_HEADER, "")
                outcome.replica = response.headers.get(REPLICA_HEADER, "")
                if response.status != 200:
                    await _refuse(response)
                outcome.answer, outcome.error = await _read(response, stream, outcome, on_first), ""
                break
        except TimeoutError:
            outcome.error = f"no whole answer within {call.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, BadReply, EventTooLong) as failure:
            outcome.error = failure_text(failure)
        except _Refused as refusal:
            outcome.error = str(refusal)
            break
        if outcome.first == outcome.first:  # it is NaN before the first token
            break
    outcome.finished = time.time()
    return outcome


async def _refuse(response: aiohttp.ClientResponse) -> None:
    quoted = (await response.content.read(QUOTED_REPLY)).decode("utf-8", "replace")
    error = f"status {response.status}: {quoted}"
    raise BadReply(error) if response.status in RETRIED_STATUS else _Refused(error)


async def _read(
    response: aiohttp.ClientResponse, stream: AnswerStream, outcome: Outcome, on_first: FirstToken
) -> Answer:
    events, begun = Events(), False
    async for piece in response.content.iter_any():
        for event in events.feed(piece):
            if stream.take(event) and not begun:
                begun = True
                outcome.first = time.time()
                on_first(stream.first)
    for event in events.end():
        stream.take(event)
    if not events.done:
        raise BadReply("the stream ended without its last event")
    return stream.answer()
