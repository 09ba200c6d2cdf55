"""Queries on their way from LoadGen's thread, which must never wait, to the event loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SWITCH_INTERVAL_S = 0.0005
"""Python's own 5 ms is how long a busy event loop could keep LoadGen's thread from issuing a query in time."""


NEVER = 1_000_000_000


@contextmanager
def prompt_threads() -> Iterator[None]:
    """Threads of this process take turns ten times as often as usual, and the garbage collector walks only what is
    young: all answers are kept to the end, and a walk over tens of thousands of them takes tens of milliseconds."""
    usual, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*thresholds[:2], NEVER)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
        gc.set_threshold(*thresholds)


class Handoff:
    """Issued samples in their order: (response id, sample index, time of issue in seconds since the epoch)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._issued: deque[tuple[int, int, float]] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def issue(self, responses: Sequence[int], indexes: Sequence[int]) -> None:
        """Called by LoadGen, in its thread."""
        now = time.time()
        self._issued.extend((response, index, now) for response, index in zip(responses, indexes, strict=True))
        self._loop.call_soon_threadsafe(self._news.set)

    def close(self) -> None:
        """No more will come. From any thread."""
        self._closed = True
        self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self) -> list[tuple[int, int, float]]:
        """What was issued since the last call; [] at the end."""
        while not self._issued and not self._closed:
            self._news.clear()
            if not self._issued and not self._closed:
                await self._news.wait()
        return [self._issued.popleft() for _ in range(len(self._issued))]
