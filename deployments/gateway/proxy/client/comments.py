"""SSE comments in a stream that is silent for long, so that proxies between gateway and client keep it open.

Clients ignore lines that begin with a colon (HTML standard, 9.2.6 "Interpreting an event stream").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

COMMENT = b": keep-alive\n\n"


class StreamComments:
    """Writes a comment whenever the stream has been silent for `after_s`. Belongs to one event loop.

    `write` is called between whole frames only, since streams pass whole frames on.
    """

    def __init__(self, write: Callable[[bytes], object], after_s: float) -> None:
        self._write, self._after_s = write, after_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._handle: asyncio.TimerHandle | None = self._loop.call_later(after_s, self._look)

    def wrote(self) -> None:
        """The stream has just had a frame."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """No comment follows. Must be called before the stream's end is written."""
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._last >= self._after_s:
            self._last = now
            self._write(COMMENT)
        self._handle = self._loop.call_later(max(0.001, self._last + self._after_s - now), self._look)
