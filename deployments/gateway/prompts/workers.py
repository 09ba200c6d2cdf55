"""A few threads for what takes milliseconds: decoding, hashing and tokenising long bodies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_WAITING = 64
"""Optional jobs that are under way or wait, before further ones are refused."""


class Busy(Exception):
    """An optional job was not done: too many wait already, or it did not end in time."""


class Workers:
    """Threads suffice: the tokenizer and the digests release the interpreter's lock.

    What must be done has threads of its own, so that it never waits for what may be left.
    """

    def __init__(self) -> None:
        count = max(1, min(4, (os.cpu_count() or 1) - 1))
        self._needed = ThreadPoolExecutor(count, "bodies")
        self._optional = ThreadPoolExecutor(count, "prompts")
        self._waiting = 0

    async def run(self, job: Callable[[], T]) -> T:
        """Runs a job that must be done."""
        return await asyncio.get_running_loop().run_in_executor(self._needed, job)

    async def offer(self, job: Callable[[], T], within_s: float) -> T:
        """Runs a job that may be left. Raises Busy. A job that is late goes on in its thread, and counts until then."""
        if self._waiting >= MOST_WAITING:
            raise Busy("too many prompts wait to be tokenised")
        self._waiting += 1
        future = self._optional.submit(job)
        loop = asyncio.get_running_loop()

        def ended(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._one_less)

        future.add_done_callback(ended)
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Busy(f"tokenising takes longer than {within_s:g} s") from None

    def _one_less(self) -> None:
        self._waiting -= 1

    def close(self) -> None:
        self._needed.shutdown(wait=False, cancel_futures=True)
        self._optional.shutdown(wait=False, cancel_futures=True)
