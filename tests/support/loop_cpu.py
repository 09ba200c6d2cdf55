"""How much CPU each callback of an event loop uses of its thread."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass
class LongestCallback:
    """Seconds of CPU of the thread, and what ran."""

    seconds: float = 0.0
    what: str = ""

    def take(self, seconds: float, handle: asyncio.Handle) -> None:
        if seconds > self.seconds:
            self.seconds, self.what = seconds, repr(handle)


@contextmanager
def longest_callback() -> Iterator[LongestCallback]:
    """Watches all asyncio loops of this process. CPU and not time: other processes may hold this one up.

    Collecting the test suite's own garbage is not counted: a gateway has none of it.
    """
    longest = LongestCallback()
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        before = time.thread_time()
        run(handle)
        longest.take(time.thread_time() - before, handle)

    gc.collect()
    gc.freeze()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", timed)
            yield longest
    finally:
        gc.unfreeze()
