"""Streamed requests as a client meets them: when the first token came, when the last, and what was cached."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)


@dataclass(frozen=True)
class Streamed:
    """One answer. Times in seconds: `sent` and `ended` on the loop's clock, `ttft` since it was sent."""

    sent: float
    ttft: float
    ended: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT)


async def streamed(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Streamed:
    """Asks for a stream with usage at its end. Raises RuntimeError where it is no whole answer."""
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    sent = time.perf_counter()
    first, received = 0.0, b""
    async with session.post(url + path, json=body) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}: {(await answer.text())[:500]}")
        async for piece in answer.content.iter_any():
            first = first or time.perf_counter()
            received += piece
    frames = [frame.removeprefix(b"data: ") for frame in received.split(b"\n\n") if frame.startswith(b"data: ")]
    if len(frames) < 2 or frames[-1] != b"[DONE]":
        raise RuntimeError(f"{url} cut its answer: ...{received[-500:].decode(errors='replace')}")
    usage = json.loads(frames[-2])["usage"]
    return Streamed(
        sent=sent,
        ttft=first - sent,
        ended=time.perf_counter(),
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        output_tokens=usage["completion_tokens"],
    )


async def open_loop(url: str, bodies: Sequence[dict[str, Any]], gaps_s: Sequence[float]) -> list[Streamed]:
    """Sends each body `gap` seconds after the one before, however long answers take."""
    async with client() as session, asyncio.TaskGroup() as group:
        tasks = []
        due = time.perf_counter()
        for body, gap in zip(bodies, gaps_s, strict=True):
            due += gap
            await asyncio.sleep(due - time.perf_counter())
            tasks.append(group.create_task(streamed(session, url, body)))
    return [task.result() for task in tasks]


async def thinking_users(
    url: str, users: int, bodies: Iterable[dict[str, Any]], thinks_s: Iterable[float]
) -> list[Streamed]:
    """`users` that each think, send the next body, read its answer, and think again; in the order they were sent."""
    turns = iter(zip(bodies, thinks_s, strict=True))

    async def user(session: aiohttp.ClientSession) -> list[Streamed]:
        answers = []
        for body, think_s in turns:
            await asyncio.sleep(think_s)
            answers.append(await streamed(session, url, body))
        return answers

    async with client() as session, asyncio.TaskGroup() as group:
        tasks = [group.create_task(user(session)) for _ in range(users)]
    return sorted(chain(*[task.result() for task in tasks]), key=lambda answer: answer.sent)


async def closed_loop(url: str, body: dict[str, Any], streams: int, requests: int) -> list[Streamed]:
    """`streams` clients that each send `requests` bodies one after the other."""

    async def one(session: aiohttp.ClientSession) -> list[Streamed]:
        return [await streamed(session, url, body) for _ in range(requests)]

    async with client() as session:
        return [
            answer for answers in await asyncio.gather(*[one(session) for _ in range(streams)]) for answer in answers
        ]
