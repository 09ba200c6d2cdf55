"""A gateway process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from deployments.engine.process import PROJECT_ROOT
from deployments.gateway.control_channel import Channel
from deployments.gateway.control_messages import Configure, Failed, Message, Started, Status

SILENT_S = 10.0
"""After which an event loop that has reported nothing is taken to stand for good."""

START_S = 60.0
"""Within which a process must accept connections."""


class ProcessHandle:
    """One process, from its start to its end. `slot` is the number that its successors keep."""

    def __init__(self, slot: int, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.slot = slot
        self.channel = channel
        self.started = False
        self.failure = ""
        self.status = Status([], [])
        self._process = process
        self._started_at = self._heard_at = time.monotonic()
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        slot: int,
        sockets: Sequence[socket.socket],
        configuration: Configure,
        receive: Callable[[ProcessHandle, Message], None],
    ) -> ProcessHandle:
        """Starts a process that accepts from `sockets`. `receive` gets what it says, but for its state."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), *(each.fileno() for each in sockets)]
            process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
                [sys.executable, "-m", "deployments.gateway.process", *map(str, passed)],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                cwd=PROJECT_ROOT,
            )
        handle = cls(slot, process, await Channel.over(ours))
        handle.channel.send(configuration)
        handle._following = asyncio.create_task(handle._follow(receive))
        return handle

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    @property
    def stands(self) -> bool:
        """Whether its event loop makes no progress."""
        return time.monotonic() - self._heard_at > (SILENT_S if self.started else START_S)

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
            self._heard_at = time.monotonic()
            match message:
                case Started():
                    self.started = True
                case Status():
                    self.status = message
                case Failed():
                    self.failure = message.message
                case _:
                    receive(self, message)
