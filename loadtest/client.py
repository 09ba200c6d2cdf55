"""Asks one sample over HTTP: tries again where that can help, and never raises for a sample's own failure."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass

import aiohttp
from msgspec import Struct

from loadtest.benchmarks.base import Answer, BadReply, ReplyReader

CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
QUOTED_REPLY = 300
POOL_HEADER, REPLICA_HEADER = "x-pool", "x-replica"


class Outcome(Struct, array_like=True):
    """What became of a sample. Times in seconds since the epoch, from the first attempt to the last byte."""

    place: int
    index: int
    started: float
    finished: float
    attempts: int
    answer: Answer | None = None
    error: str = ""
    pool: str = ""
    replica: str = ""
    """Who answered, as this project's gateway tells it in headers."""
    due: float = math.nan
    """When the test meant to issue it; NaN where it has no schedule."""
    first: float = math.nan
    """When its first token came; NaN where it was not streamed."""


@dataclass(frozen=True)
class Call:
    """How samples are asked.

    Attributes:
        url: of the route, or of the endpoint where `routed`.
        timeout_s: bounds one attempt, time in the endpoint's own queue included.
        routed: bodies begin with their route and a line end.
    """

    url: str
    headers: dict[str, str]
    timeout_s: float
    attempts: int
    routed: bool = False

    def addressed(self, body: bytes) -> tuple[str, bytes]:
        """Where a body goes, and what goes there."""
        if not self.routed:
            return self.url, body
        route, _, content = body.partition(b"\n")
        return self.url + route.decode(), content


async def ask(
    session: aiohttp.ClientSession, call: Call, reader: ReplyReader, place: int, index: int, body: bytes
) -> Outcome:
    """The outcome of one sample; after `call.attempts` failures, or one that no repetition mends, it has an error."""
    started = time.time()
    error = pool = replica = ""
    attempt = 0
    url, content = call.addressed(body)
    while attempt < call.attempts:
        attempt += 1
        try:
            timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S)
            async with session.post(url, data=content, headers=call.headers, timeout=timeout) as response:
                reply = await response.read()
                status = response.status
                pool = response.headers.get(POOL_HEADER, "")
                replica = response.headers.get(REPLICA_HEADER, "")
            if status == 200:
                answer = reader.answer(reply)
                return Outcome(place, index, started, time.time(), attempt, answer, pool=pool, replica=replica)
            error = f"status {status}: {reply[:QUOTED_REPLY].decode('utf-8', 'replace')}"
            if status not in RETRIED_STATUS:
                break
        except TimeoutError:
            error = f"no whole answer within {call.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, BadReply) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if attempt < call.attempts:
            await asyncio.sleep(pause(attempt))
    return Outcome(place, index, started, time.time(), attempt, None, error)


def pause(attempt: int) -> float:
    """Exponential, with jitter so that samples that failed together do not come back together."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
