"""Asks one sample over HTTP: tries again where that can help, and never raises for a sample's own failure."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from msgspec import Struct

from deployments.http_sessions import failure_text
from loadtest.benchmarks.base import Answer, BadReply, ReplyReader

CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
QUOTED_REPLY = 300
MOST_REFUSAL = 64 * 2**10
POOL_HEADER, REPLICA_HEADER, REQUEST_HEADER, WAIT_HEADER = "x-pool", "x-replica", "x-request-id", "Retry-After"


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
    status: int = 0
    """Of the last reply; 0 where none came."""
    request_id: str = ""
    """The endpoint's own name for the last request; empty where it tells none."""
    refusal: bytes = b""
    """The last reply, up to MOST_REFUSAL bytes, where its status is an error."""


@dataclass(frozen=True)
class Call:
    """How samples are asked.

    Attributes:
        url: of the route, or of the endpoint where `routed`.
        timeout_s: bounds one attempt, time in the endpoint's own queue included; and, from the first attempt on, how
            long a sample comes back as a full endpoint (429) asks it to. Such a refusal is no failure.
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
    outcome = Outcome(place, index, time.time(), math.nan, 0)
    url, content = call.addressed(body)
    failures = 0
    while failures < call.attempts:
        outcome.attempts += 1
        outcome.status, outcome.request_id, outcome.refusal = 0, "", b""
        try:
            timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=CONNECT_TIMEOUT_S)
            async with session.post(url, data=content, headers=call.headers, timeout=timeout) as response:
                reply = await response.read()
            headers = response.headers
            outcome.status, outcome.request_id = response.status, headers.get(REQUEST_HEADER, "")
            if response.status == HTTPStatus.OK:
                outcome.answer, outcome.error = reader.answer(reply), ""
                outcome.pool, outcome.replica = headers.get(POOL_HEADER, ""), headers.get(REPLICA_HEADER, "")
                break
            outcome.error = f"status {response.status}: {reply[:QUOTED_REPLY].decode('utf-8', 'replace')}"
            outcome.refusal = reply[:MOST_REFUSAL]
            if response.status not in RETRIED_STATUS:
                break
            wait_s = _asked_wait(response)
            if wait_s is not None and time.time() + wait_s < outcome.started + call.timeout_s:
                await asyncio.sleep(wait_s)
                continue
        except TimeoutError:
            outcome.error = f"no whole answer within {call.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, BadReply) as failure:
            outcome.error = failure_text(failure)
        failures += 1
        if failures < call.attempts:
            await asyncio.sleep(pause(failures))
    outcome.finished = time.time()
    return outcome


def _asked_wait(response: aiohttp.ClientResponse) -> float | None:
    """Seconds that a full endpoint asks to wait, and up to half as many more; None where it asks for none."""
    told = response.headers.get(WAIT_HEADER, "")
    if response.status != HTTPStatus.TOO_MANY_REQUESTS or not (told.isascii() and told.isdecimal()):
        return None
    return max(FIRST_PAUSE_S, int(told)) * random.uniform(1.0, 1.5)


def pause(attempt: int) -> float:
    """Exponential, with jitter so that samples that failed together do not come back together."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
