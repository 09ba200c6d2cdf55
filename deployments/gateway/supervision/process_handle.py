"""A gateway process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from deployments.engine.process import PROJECT_ROOT
from deployments.gateway.supervision.control_channel import Channel
from deployments.gateway.supervision.control_messages import Configure, Failed, Message, Started, Status

SILENT_S = 10.0
"""After which an event loop that has reported nothing is taken to stand for good."""

START_S = 60.0
"""Within which a process must have imported what it needs."""

STANDBY = -1
"""The slot of a process that serves nothing yet."""

logger = logging.getLogger("mixfleet.gateway")


class ProcessHandle:
    """One process, from its start to its end. `slot` is the number that its successors keep."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.slot = STANDBY
        self.channel = channel
        self.started = False
        self.failure = ""
        self.status = Status([], [])
        self._process = process
        self._started_at = self._heard_at = time.monotonic()
        self._heard = False
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, sockets: Sequence[socket.socket], receive: Callable[[ProcessHandle, Message], None]
    ) -> ProcessHandle:
        """Starts a process that accepts from `sockets` once it is configured. `receive` gets what it says, but for its
        state."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), *(each.fileno() for each in sockets)]
            process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
                [sys.executable, "-m", "deployments.gateway.process", *map(str, passed)],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                cwd=PROJECT_ROOT,
            )
        handle = cls(process, await Channel.over(ours))
        handle._following = asyncio.create_task(handle._follow(receive))
        return handle

    def serve(self, slot: int, configuration: Configure) -> None:
        """Has it accept connections from now on."""
        self.slot, self._started_at = slot, time.monotonic()
        self.channel.send(configuration)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def age_s(self) -> float:
        """Seconds since it was to serve."""
        return time.monotonic() - self._started_at

    @property
    def silent_s(self) -> float:
        """Seconds since its event loop last reported; 0 while it still imports."""
        return time.monotonic() - self._heard_at if self._heard else 0.0

    @property
    def stands(self) -> bool:
        """Whether its event loop makes no progress."""
        return time.monotonic() - self._heard_at > (SILENT_S if self._heard else START_S)

    def kill(self) -> None:
        """A process that stands would ignore anything milder."""
        self._process.send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """After its end."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self.channel.close()
        await asyncio.to_thread(self._process.wait)

    async def _follow(self, receive: Callable[[ProcessHandle, Message], None]) -> None:
        while (message := await self.channel.receive()) is not None:
            if not self._heard and self.slot == STANDBY:
                logger.info("gateway process (pid %d) waits in reserve", self.pid)
            self._heard_at, self._heard = time.monotonic(), True
            match message:
                case Started():
                    self.started = True
                    logger.info("gateway process %d (pid %d) serves after %.2f s", self.slot, self.pid, self.age_s)
                case Status():
                    self.status = message
                case Failed():
                    self.failure = message.message
                case _:
                    receive(self, message)
