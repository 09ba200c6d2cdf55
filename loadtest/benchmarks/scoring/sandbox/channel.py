"""The owner's end of a jail's pipes: every wait has an end, and every message a size."""

from __future__ import annotations

import os
import select
import threading
import time

from loadtest.benchmarks.scoring.sandbox import frames

LOOK_UP_S = 0.2
"""How soon a wait notices that it was called off."""

PIECE = 2**20


class Ended(Exception):
    """The jail's process is gone."""


class TooLate(Exception):
    """Nothing came in time."""


class TooMuch(Exception):
    """A message longer than it may be."""


class CalledOff(Exception):
    """The whole work was stopped."""


class Channel:
    """Messages to and from one jail. Not thread-safe; `stop` may be set by any thread."""

    def __init__(self, to_jail: int, from_jail: int, stop: threading.Event) -> None:
        self._to, self._from, self._stop = to_jail, from_jail, stop
        for file in (to_jail, from_jail):
            os.set_blocking(file, False)

    def ask(self, kind: bytes, payload: bytes, within_s: float, most_bytes: int) -> tuple[bytes, bytes]:
        """Sends a message and returns the next one from the jail. Raises Ended, TooLate, TooMuch, CalledOff."""
        deadline = time.monotonic() + within_s
        self._write(frames.head(kind, payload) + payload, deadline)
        return self.next(deadline - time.monotonic(), most_bytes)

    def next(self, within_s: float, most_bytes: int) -> tuple[bytes, bytes]:
        """The next message from the jail. Raises Ended, TooLate, TooMuch, CalledOff."""
        deadline = time.monotonic() + within_s
        kind, length = frames.HEAD.unpack(self._read(frames.HEAD.size, deadline))
        if length > most_bytes:
            raise TooMuch
        return kind, self._read(length, deadline)

    def _write(self, content: bytes, deadline: float) -> None:
        left = memoryview(content)
        while left:
            self._wait(self._to, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._to, left[:PIECE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Ended from None

    def _read(self, length: int, deadline: float) -> bytes:
        content = bytearray()
        while len(content) < length:
            self._wait(self._from, select.POLLIN, deadline)
            try:
                part = os.read(self._from, min(length - len(content), PIECE))
            except BlockingIOError:
                continue
            if not part:
                raise Ended
            content += part
        return bytes(content)

    def _wait(self, file: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(file, event)
        while True:
            if self._stop.is_set():
                raise CalledOff
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooLate
            if poll.poll(1000 * min(left, LOOK_UP_S)):
                return
