"""A gateway process that has imported everything and waits, to take the place of one that fails within milliseconds."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from deployments.gateway.supervision.control_messages import Message
from deployments.gateway.supervision.process_handle import ProcessHandle

FRESH_S = 2.0
"""A process that waits and has been silent for longer might be frozen: it is not given connections."""

PAUSE_S = 10.0
"""After one that ended by itself: another would likely end the same way."""


class Standby:
    """At most one such process. `discard` ends a process."""

    def __init__(
        self, receive: Callable[[ProcessHandle, Message], None], discard: Callable[[ProcessHandle], None]
    ) -> None:
        self._receive, self._discard = receive, discard
        self._process: ProcessHandle | None = None
        self._sockets: Sequence[socket.socket] = ()
        self._start_after = 0.0

    async def keep(self, sockets: Sequence[socket.socket], may_start: bool) -> None:
        """Ends the process where it is of no use any more, and starts one where there is none."""
        process, now = self._process, time.monotonic()
        if process and process.ended:
            self._start_after = now + PAUSE_S
        if process and (process.ended or process.stands or sockets is not self._sockets):
            self.drop()
        if self._process is None and may_start and now >= self._start_after:
            self._process, self._sockets = await ProcessHandle.start(sockets, self._receive), sockets

    def take(self, sockets: Sequence[socket.socket]) -> ProcessHandle | None:
        """The process that waits, which is the caller's from now on; None where there is none for these sockets."""
        process, self._process = self._process, None
        if process is None or (sockets is self._sockets and not process.ended and process.silent_s < FRESH_S):
            return process
        self._discard(process)
        return None

    def drop(self) -> None:
        """Ends the process: it holds the listening sockets, so that connections to them would never be answered."""
        if self._process:
            self._discard(self._process)
        self._process = None
