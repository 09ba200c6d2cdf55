"""The supervisor of a node's gateway processes. It owns the listening sockets and replaces processes that fail.

It imports no Ray and handles no request, so that hardly anything can stop it. The processes accept from its sockets:
one that dies or stands loses its own connections, and new ones wait in the backlog for its successor, which has
imported everything already.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.gateway.metrics.merged import merged
from deployments.gateway.supervision.control_messages import (
    AskMetrics,
    Configure,
    Drain,
    HandOver,
    Learned,
    MergedMetrics,
    Message,
    Metrics,
    Replicas,
)
from deployments.gateway.supervision.listening_socket import listening_sockets
from deployments.gateway.supervision.process_handle import ProcessHandle
from deployments.gateway.supervision.standby import Standby

LOOK_PERIOD_S = 0.2
SHORT_LIFE_S = 5.0
"""A process that ends younger than this is not replaced at once: its successor would likely end the same way."""
LONGEST_PAUSE_S = 10.0
TELL_PERIOD_S = 1.0
REPLACE_TIMEOUT_S = 75.0
"""Within which processes of another fleet must accept connections, or the former ones go on."""

METRICS_S = 2.0
"""Within which processes must tell their metrics to be on the page."""

logger = logging.getLogger("mixfleet.gateway")


@dataclass
class _Collection:
    """Metrics that one process was asked for, and those of all that have come."""

    asker: ProcessHandle
    number: int
    missing: set[int]
    metrics: dict[str, Metrics] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class Supervisor:
    """Keeps `count` processes up. Belongs to one event loop."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        fleet: Mapping[str, Any],
        host: str,
        own_engines: bool = True,
        alone_s: float = 0.0,
    ) -> None:
        """`fleet`: valid content of a fleet file. `host`: this node's address for other gateways.

        `own_engines`: whether the replicas are the fleet's own. `alone_s`: for so long its processes accept connections
        after its death: its successor has the same sockets.
        """
        self._own_engines, self._alone_s = own_engines, alone_s
        self._sockets = sockets
        self._replicas = Replicas([], {})
        self._learned: Learned | None = None
        """By the process that told it last: a successor begins with it."""
        self._collections: dict[int, _Collection] = {}
        self._numbers = itertools.count()
        self._short_lives: dict[int, int] = {}
        self._start_after: dict[int, float] = {}
        self._told_at = 0.0
        self.processes: dict[int, ProcessHandle] = {}
        """Slot -> the process that serves there."""
        self._stood: set[ProcessHandle] = set()
        """At the last look. After a pause of the supervisor itself their reports are read before the next one."""
        self._leaving: list[ProcessHandle] = []
        self._standby = Standby(self._receive, self._discard)
        self._configure(fleet, host)

    def _configure(self, fleet: Mapping[str, Any], host: str) -> None:
        self.fleet, self.host = dict(fleet), host
        self._count = int(fleet["gateway"]["processes"])

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    @property
    def serving(self) -> bool:
        """Whether every process accepts connections."""
        return len(self.processes) == self._count and all(each.started for each in self.processes.values())

    @property
    def failure(self) -> str:
        """Why no process can serve this fleet; '' where some can."""
        return next((each.failure for each in self.processes.values() if each.failure), "")

    async def until_serving(self) -> None:
        """Returns once all processes accept connections, or one cannot serve the fleet (`failure`)."""
        while not self.serving and not self.failure:  # noqa: ASYNC110  # other processes' states
            await asyncio.sleep(LOOK_PERIOD_S / 4)

    async def look(self) -> None:
        """Replaces processes that have ended or stand, and tells all of them what they should know."""
        standing = {each for each in (*self.processes.values(), *self._leaving) if each.stands}
        standing, self._stood = standing & self._stood, standing
        for slot, process in list(self.processes.items()):
            if process.failure:
                continue
            if not process.ended and process not in standing:
                continue
            what = "has ended" if process.ended else "stands"
            logger.warning("gateway process %d (pid %d) %s; replacing it", slot, process.pid, what)
            del self.processes[slot]
            self._discard(process)
            self._delay(slot, process)
        for slot in range(self._count):
            if slot not in self.processes and time.monotonic() >= self._start_after.get(slot, 0.0):
                await self._start(slot)
        await self._standby.keep(self._sockets, may_start=self._count > 0 and self.serving)
        for process in list(self._leaving):
            if process in standing:
                process.kill()
            if process.ended:
                self._leaving.remove(process)
                await process.close()
        if time.monotonic() - self._told_at >= TELL_PERIOD_S:
            self._tell()

    async def keep(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_PERIOD_S)

    def update(self, replicas: Replicas) -> None:
        """Takes what there is now. Known replicas stay until the next update, whatever happens to its source."""
        self._replicas = replicas
        self._tell()

    async def replace(self, fleet: Mapping[str, Any], host: str) -> None:
        """Serves this fleet from now on: new processes take over from the old ones as soon as they accept.

        `keep` runs meanwhile. Raises RuntimeError or OSError, and goes on as before, where they cannot serve that fleet
        or listen on its address.
        """
        processes, former, former_host, former_sockets = self.processes, self.fleet, self.host, self._sockets
        if _moves(former, fleet):
            self._sockets = listening_sockets(*_address(fleet))
        self.processes = {}
        self._configure(fleet, host)
        try:
            async with asyncio.timeout(REPLACE_TIMEOUT_S):
                await self.until_serving()
            message = self.failure
        except asyncio.CancelledError:
            self._leave(processes.values(), Drain())  # the supervisor ends: they must not be forgotten
            raise
        except TimeoutError:
            message = f"its processes did not accept connections within {REPLACE_TIMEOUT_S:g} s; see the gateway's log"
        left_sockets = former_sockets
        if message:
            failed, left_sockets = list(self.processes.values()), self._sockets
            self.processes, self._sockets = processes, former_sockets
            self._configure(former, former_host)
            for process in failed:
                self._discard(process)
        else:
            self._leave(processes.values(), HandOver())
        if self._sockets is not left_sockets:
            for each in left_sockets:
                each.close()
        if message:
            raise RuntimeError(message)

    async def drain(self) -> None:
        """Has all processes finish what they have, and returns after the last one's end."""
        for each in self._sockets:
            each.close()
        self._leave(self.processes.values(), Drain())
        self.processes, self._count = {}, 0
        self._standby.drop()
        while self._leaving:
            await self.look()
            await asyncio.sleep(LOOK_PERIOD_S)

    async def kill(self) -> None:
        """Ends all processes at once."""
        self._standby.drop()
        processes = [*self.processes.values(), *self._leaving]
        self.processes, self._leaving, self._count = {}, [], 0
        for process in processes:
            process.kill()
            await process.close()

    def _leave(self, processes: Any, message: Drain | HandOver) -> None:
        for process in list(processes):
            process.channel.send(message)
            self._leaving.append(process)

    def _discard(self, process: ProcessHandle) -> None:
        """Ends a process for good. `look` notes when the kernel has ended it, which nobody waits for."""
        process.kill()
        self._leaving.append(process)

    async def _start(self, slot: int) -> None:
        sockets = self._sockets
        process = self._standby.take(sockets) or await ProcessHandle.start(sockets, self._receive)
        if sockets is not self._sockets:  # another fleet is served meanwhile, at another address
            self._discard(process)
            return
        self.processes[slot] = process
        has_peers = self._count > 1 or self.fleet["gateway"]["nodes"] != "head"
        process.serve(slot, Configure(self.fleet, self.host, has_peers, self._own_engines, self._alone_s))
        process.channel.send(self._current())
        if self._learned:
            process.channel.send(self._learned)

    def _delay(self, slot: int, process: ProcessHandle) -> None:
        """Pauses that double, for processes that keep ending soon after their start."""
        short = self._short_lives.get(slot, 0) + 1 if process.age_s < SHORT_LIFE_S else 0
        self._short_lives[slot] = short
        pause_s = min(LONGEST_PAUSE_S, 0.25 * 2**short) if short > 1 else 0.0
        self._start_after[slot] = time.monotonic() + pause_s

    def _current(self) -> Replicas:
        own = {each.status.endpoint for each in self.processes.values()} - {""}
        return Replicas(self._replicas.replicas, self._replicas.loads, sorted({*self._replicas.peers, *own}))

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        message = self._current()
        for process in [*self.processes.values(), *self._leaving]:
            process.channel.send(message)

    def _receive(self, process: ProcessHandle, message: Message) -> None:
        match message:
            case Learned():
                self._learned = message
            case AskMetrics():
                self._collect(process, message.number)
            case Metrics():
                if collection := self._collections.get(message.number):
                    collection.metrics[str(process.slot)] = message
                    collection.missing.discard(process.slot)
                    if not collection.missing:
                        self._finish(message.number)
            case _:
                logger.warning("unexpected message %s from a gateway process", type(message).__name__)

    def _collect(self, asker: ProcessHandle, number: int) -> None:
        ours = next(self._numbers)
        running = {slot: each for slot, each in self.processes.items() if each.started}
        collection = self._collections[ours] = _Collection(asker, number, set(running))
        collection.timer = asyncio.get_running_loop().call_later(METRICS_S, self._finish, ours)
        for process in running.values():
            process.channel.send(AskMetrics(ours))

    def _finish(self, number: int) -> None:
        """Answers with what has come: a process that stands is left out."""
        collection = self._collections.pop(number, None)
        if collection is None:
            return
        if collection.timer:
            collection.timer.cancel()
        collection.asker.channel.send(MergedMetrics(collection.number, merged(collection.metrics)))


def _moves(former: Mapping[str, Any], fleet: Mapping[str, Any]) -> bool:
    """Whether another address is to be listened on. Port 0 is whichever it has."""
    (former_host, former_port), (host, port) = _address(former), _address(fleet)
    return former_host != host or port not in (0, former_port)


def _address(fleet: Mapping[str, Any]) -> tuple[str, int]:
    return fleet["gateway"]["host"], fleet["gateway"]["port"]
