"""The preparation workers of a gateway process: a job runs in one of them, or is given up at a limit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from deployments.engine.process import PROJECT_ROOT
from deployments.gateway.preparation.bodies.json_body import Source
from deployments.gateway.preparation.engine_work import TOKENISE_S
from deployments.gateway.preparation.workers.fair_queue import FairQueue
from deployments.gateway.preparation.workers.template import Command, End, Fork, Load
from deployments.gateway.preparation.workers.worker import MESSAGE_BYTES, JobRequest, JobResult

TEMPLATE = "deployments.gateway.preparation.workers.template"
CPU_S = 2.0
"""CPU time of one job. An engine spends about as long on the same bytes, on the loop that serves everyone."""

WALL_S = 30.0
"""Time of one job on a machine that is busy with other things."""

MOST_WAITING = 256
TEMPLATE_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 200.0

logger = logging.getLogger("mixfleet.preparation")


class JobFailed(Exception):
    """A job gave no result: it raised, crashed its worker, or reached a limit. The message says which."""


class PoolBusy(Exception):
    """No worker takes the job now: too many wait already, or none could be started."""


@dataclass(frozen=True)
class PreparationWorker:
    """`loads`: how many renderers the template had loaded, or failed to load, when the worker was forked."""

    pid: int
    channel: socket.socket
    loads: int


class FailureReason(StrEnum):
    """Why a job gave no result."""

    CPU = "cpu"
    TOKENISING = "tokenising"
    WALL_TIME = "wall_time"
    CRASH = "crash"
    ERROR = "error"


class PreparationPool:
    """At most `size` workers, started when they are needed. Tenants take turns. One event loop owns it.

    `failures` counts the jobs that gave no result.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size or max(1, min(4, (os.cpu_count() or 1) - 1))
        self._free = self._size
        self.failures = dict.fromkeys(FailureReason, 0)
        self._idle: list[PreparationWorker] = []
        self._sources: list[Source] = []
        self._loads = 0
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._control: socket.socket | None = None
        self._template: subprocess.Popen[bytes] | None = None
        self._controlling = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Jobs that a worker does."""
        return self._size - self._free

    async def start(self) -> None:
        """Starts the template ahead of the first job, and loads the renderers that were named already."""
        await asyncio.shield(self._synchronise(start=True))

    async def load(self, source: Source) -> None:
        """Has a renderer in all workers from now on, where the template runs already; else from its start on."""
        if source in self._sources:
            return
        self._sources.append(source)
        await asyncio.shield(self._synchronise(start=False))

    async def run(
        self,
        job: str,
        files: Sequence[int] = (),
        arguments: Any = None,
        *,
        tenant: str = "",
        cpu_s: float | None = None,
    ) -> Any:
        """Runs a job of `jobs.JOBS` on open files, within `CPU_S` by default. Raises JobFailed or PoolBusy."""
        cpu_s = CPU_S if cpu_s is None else cpu_s
        await self._take_turn(tenant)
        try:
            worker = await self._idle_worker() or await self._start_worker()
            try:
                result = await _run_in(worker, JobRequest(job, cpu_s, arguments), files)
            except BaseException as error:  # a caller that is gone, too: nobody reads what the worker still sends
                status = await self._end(worker)
                if isinstance(error, EOFError | TimeoutError | OSError):
                    reason = _reason(error, status)
                    self.failures[reason] += 1
                    raise JobFailed(_sentence(reason, cpu_s)) from error
                raise
            self._idle.append(worker)
        finally:
            self._give_turn()
        if result.error:
            self.failures[FailureReason.ERROR] += 1
            raise JobFailed(result.error)
        return result.value

    async def close(self) -> None:
        """Ends all workers. Jobs that still run fail."""
        if self._template:
            self._template.kill()
        async with self._controlling:
            await self._drop_template()

    async def _take_turn(self, tenant: str) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= MOST_WAITING:
            raise PoolBusy(f"{MOST_WAITING} bodies wait to be prepared")
        turn = asyncio.get_running_loop().create_future()
        self._queue.push(tenant, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_turn()
            raise

    def _give_turn(self) -> None:
        while len(self._queue):
            turn = self._queue.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _idle_worker(self) -> PreparationWorker | None:
        """One that waits for a job, and was not killed meanwhile from outside. None where there is none."""
        while self._idle:
            worker = self._idle.pop()
            if worker.loads == self._loads and _is_alive(worker):
                return worker
            await self._end(worker)
        return None

    async def _start_worker(self) -> PreparationWorker:
        """A command goes on where its caller is cancelled: else the next command would get its answer."""
        starting = asyncio.ensure_future(self._fork())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._keep)
            raise

    def _keep(self, started: asyncio.Future[PreparationWorker]) -> None:
        """Has a worker whose caller has left wait for the next job."""
        if not started.cancelled() and started.exception() is None:
            self._idle.append(started.result())

    async def _fork(self) -> PreparationWorker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                pid = await self._command(Fork(), theirs.fileno())
        except BaseException:
            ours.close()
            raise
        return PreparationWorker(pid, ours, self._loads)

    async def _end(self, worker: PreparationWorker) -> int:
        """Kills a worker. Returns its wait status; 0 where the template itself has ended, and all workers with it."""
        worker.channel.close()
        try:
            return await asyncio.shield(self._command(End(worker.pid)))
        except PoolBusy:
            return 0

    async def _command(self, command: Command, *files: int) -> int:
        """The template's answer. Raises PoolBusy where there is none; the next command starts another template."""
        async with self._controlling:
            try:
                answer = await _ask(await self._connected(), command, files)
                return msgspec.json.decode(answer, type=int)
            except (OSError, TimeoutError, msgspec.DecodeError) as error:
                logger.warning("the template of preparation workers failed (%r) and is started again", error)
                await self._drop_template()
                raise PoolBusy("no preparation worker could be started") from error

    async def _synchronise(self, start: bool) -> None:
        """Has all sources loaded in the template, which is started for it only where `start` is true."""
        async with self._controlling:
            try:
                if start or self._control:
                    await self._load_sources(await self._connected())
            except (OSError, TimeoutError, msgspec.DecodeError) as error:
                logger.warning("the template of preparation workers failed (%r) and is started again", error)
                await self._drop_template()

    async def _connected(self) -> socket.socket:
        if self._control is None:
            control, self._template = await asyncio.to_thread(_start_template)
            self._control, self._loads = control, 0
            await self._load_sources(control)
            return control
        return self._control

    async def _load_sources(self, control: socket.socket) -> None:
        for source in self._sources[self._loads :]:
            reason = msgspec.json.decode(await _ask(control, Load(source)), type=str)
            if reason:
                logger.warning("no prompts of %s for long bodies: %s", source.checkpoint, reason)
            self._loads += 1

    async def _drop_template(self) -> None:
        if self._control and self._template:
            self._template.kill()
            await asyncio.to_thread(self._template.wait)
            self._control.close()
        self._control = self._template = None
        for worker in self._idle:
            worker.channel.close()
        self._idle.clear()


async def _ask(control: socket.socket, command: Command, files: Sequence[int] = ()) -> bytes:
    """Raises OSError, or TimeoutError where no answer comes; an empty one means that the template has ended."""
    socket.send_fds(control, [msgspec.json.encode(command)], files)
    async with asyncio.timeout(LOAD_TIMEOUT_S if isinstance(command, Load) else TEMPLATE_TIMEOUT_S):
        return await asyncio.get_running_loop().sock_recv(control, MESSAGE_BYTES)


async def _run_in(worker: PreparationWorker, request: JobRequest, files: Sequence[int]) -> JobResult:
    """Raises EOFError where the worker ended, TimeoutError where it was not done within `WALL_S`."""
    socket.send_fds(worker.channel, [msgspec.json.encode(request)], files)
    async with asyncio.timeout(WALL_S):
        answer = await asyncio.get_running_loop().sock_recv(worker.channel, MESSAGE_BYTES)
    if not answer:
        raise EOFError
    return msgspec.json.decode(answer, type=JobResult)


def _is_alive(worker: PreparationWorker) -> bool:
    try:
        return worker.channel.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _reason(error: BaseException, status: int) -> FailureReason:
    if isinstance(error, TimeoutError):
        return FailureReason.WALL_TIME
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return FailureReason.CPU
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM:
        return FailureReason.TOKENISING
    return FailureReason.CRASH


def _sentence(reason: FailureReason, cpu_s: float) -> str:
    match reason:
        case FailureReason.WALL_TIME:
            return f"it was not read within {WALL_S:g} s"
        case FailureReason.CPU:
            return f"reading it takes more than {cpu_s:g} s of CPU"
        case FailureReason.TOKENISING:
            return (
                f"tokenising it takes more than {TOKENISE_S:g} s of CPU, "
                "and its engine would stand still for all others"
            )
        case _:
            return "reading it crashed the program that reads it"


def _start_template() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    command = [sys.executable, "-m", TEMPLATE, str(theirs.fileno())]
    with theirs:
        template = subprocess.Popen(command, cwd=PROJECT_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return ours, template
