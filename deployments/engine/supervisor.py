"""Keeps one engine up: starts it, restarts it where it dies or hangs, tells what it is and how busy it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec
from deployments.engine.cache_reporter.process import CacheReporting, ReporterSettings
from deployments.engine.process import EngineError, EngineProcess
from deployments.kv_cache.report_subscriber import ReporterAddresses
from deployments.replica_info import ReplicaInfo

HEARTBEAT_S = 0.25
IDLE_HEARTBEAT_S = 1.0
LOAD_PERIOD_S = 1.0
HANG_S = 60.0
"""An engine that answers nothing for so long is restarted. Long, because a full engine may be slow to answer."""

STARTS = 3
STARTS_WINDOW_S = 600.0
SETTLE_S = 1.0

logger = logging.getLogger("ray.serve")

Report = Callable[[ReplicaInfo, EngineLoad], bool]
"""Reports a replica to the registry without waiting. False where that was not possible now."""
Withdraw = Callable[[str], Awaitable[None]]
"""Takes an incarnation off the registry's list. Raises TimeoutError where that is not confirmed."""


@dataclass(frozen=True)
class Seat:
    """The place of a replica in the fleet: the part of its `ReplicaInfo` that is known before its engine runs.

    `fleet` and `secrets_file` are the fleet's own, for the cache reporter.
    """

    replica: str
    model: str
    pool: str
    vendor: str
    accelerator: str | None
    drain_timeout_s: float
    readiness_timeout_s: float
    fleet: str
    secrets_file: str | None = None


class Supervisor:
    """One engine and what is said of it. `failure` is set once it could not be kept up."""

    def __init__(self, spec: EngineSpec, seat: Seat, log: Path, host: str, report: Report, withdraw: Withdraw):
        self.spec, self.seat = spec, seat
        self.engine = EngineProcess(spec, log, host)
        self._log, self._host = log, host
        self._reporting: CacheReporting | None = None
        self.failure: EngineError | None = None
        self.replica_info: ReplicaInfo | None = None
        self._report, self._withdraw = report, withdraw
        self._starts: list[float] = []
        self._load = EngineLoad()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts the engine and announces it. Raises EngineError where it does not get ready."""
        self._session = self.engine.session(aiohttp.ClientTimeout(total=10))
        try:
            await self._start_engine()
        except BaseException:
            await self._end_engine()
            await self._session.close()
            raise
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._tell())]

    async def _start_engine(self) -> None:
        assert self._session is not None
        self._starts.append(time.monotonic())
        await self.engine.start(self.seat.readiness_timeout_s)
        try:
            facts = await self.engine.backend.facts(self._session, self.engine.url, self.spec)
        except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
            await self.engine.stop()
            raise EngineError(
                f"the engine of {self.seat.replica} does not tell what it is ({type(error).__name__}: {error})"
                f"{self.engine.log_tail()}"
            ) from error
        self._load = EngineLoad()
        replica_info = ReplicaInfo(
            replica=self.seat.replica,
            incarnation=self.engine.incarnation,
            url=self.engine.url,
            model=self.seat.model,
            aliases=self.spec.names[1:],
            task=self.spec.task,
            pool=self.seat.pool,
            vendor=self.seat.vendor,
            engine=self.spec.engine,
            engine_version=facts.version,
            accelerator=self.seat.accelerator,
            tensor_parallel=self.spec.tensor_parallel,
            slots=self.spec.slots,
            checkpoint=self.spec.checkpoint,
            revision=self.spec.revision,
            block_size=facts.block_size,
            kv_blocks=facts.kv_blocks,
            max_model_len=facts.max_model_len,
            caches=facts.caches,
            cache_reports=None,
            cache_snapshots=None,
            renderer=facts.renderer,
        )
        self.replica_info = await self._with_reporter(replica_info, facts)

    async def _with_reporter(self, replica_info: ReplicaInfo, facts: EngineFacts) -> ReplicaInfo:
        """Starts the cache reporter where the engine has events to report, so that the first word of the replica says
        where it is."""
        if not facts.kv_events or not facts.kv_replay:
            return replica_info
        settings = ReporterSettings(
            events=facts.kv_events,
            replays=facts.kv_replay,
            host=self._host,
            model=self.seat.model,
            most_blocks=facts.kv_blocks,
            fleet=self.seat.fleet,
            secrets_file=self.seat.secrets_file,
        )
        self._reporting = CacheReporting(settings, self._log, self._announce_reporter)
        addresses = await self._reporting.start()
        return _reported_at(replica_info, addresses)

    def _announce_reporter(self, addresses: ReporterAddresses | None) -> None:
        """The reporter ended, or another one listens."""
        if self.replica_info:
            self.replica_info = _reported_at(self.replica_info, addresses)

    async def _end_engine(self) -> None:
        reporting, self._reporting = self._reporting, None
        if reporting:
            await reporting.stop()
        await self.engine.stop()

    async def _watch(self) -> None:
        """Polls the engine's load; restarts it when it has ended or has been silent for too long."""
        answered = time.monotonic()
        while True:
            await asyncio.sleep(LOAD_PERIOD_S)
            assert self._session is not None
            if self.engine.exit_code is None:
                try:
                    load = await self.engine.backend.load(self._session, self.engine.url)
                    self._load = replace(load, kv_use=round(load.kv_use, 3))
                    answered = time.monotonic()
                    continue
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    if time.monotonic() - answered < HANG_S:
                        continue
            try:
                await self._restart()
            except EngineError as error:
                self.failure = error
                logger.error("%s: giving up: %s", self.seat.replica, error)
                return
            answered = time.monotonic()

    async def _restart(self) -> None:
        code = self.engine.exit_code
        reason = "hangs" if code is None else f"ended with code {code}"
        await self._silence()
        self._starts = [start for start in self._starts if start > time.monotonic() - STARTS_WINDOW_S]
        if len(self._starts) >= STARTS:
            raise EngineError(
                f"the engine of {self.seat.replica} {reason}, after {len(self._starts)} starts "
                f"within {STARTS_WINDOW_S:.0f} s{self.engine.log_tail()}"
            )
        logger.warning("%s: the engine %s; restarting it", self.seat.replica, reason)
        await self._end_engine()
        await self._start_engine()

    async def _silence(self) -> None:
        """Takes the engine off the registry's list, and sends no more heartbeats of this incarnation."""
        replica_info, self.replica_info = self.replica_info, None
        if replica_info is None:
            return
        try:
            await self._withdraw(replica_info.incarnation)
        except TimeoutError:
            # The registry, or the one that comes after it, gives a silent replica up by itself.
            logger.warning("%s: the registry does not confirm the withdrawal", self.seat.replica)

    async def _tell(self) -> None:
        """Sends heartbeats: often while the load changes, seldom while it does not."""
        last: tuple[Any, ...] = ()
        sent = 0.0
        while True:
            state = (self.replica_info, self._load)
            due = state != last or time.monotonic() - sent >= IDLE_HEARTBEAT_S
            if self.replica_info and due and self._report(self.replica_info, self._load):
                last, sent = state, time.monotonic()
            await asyncio.sleep(HEARTBEAT_S)

    async def stop(self) -> None:
        """Leaves: no new requests, those open are finished (within the drain timeout), then the engine ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._silence()
        if self._session and not self._session.closed:
            await self._drain(self._session)
            await self._session.close()
        await self._end_engine()

    async def _drain(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + self.seat.drain_timeout_s
        quiet_since: float | None = None
        while time.monotonic() < deadline:
            try:
                load = await self.engine.backend.load(session, self.engine.url)
            except (aiohttp.ClientError, TimeoutError):
                return
            now = time.monotonic()
            quiet_since = (quiet_since or now) if load.running + load.waiting == 0 else None
            if quiet_since is not None and now - quiet_since >= SETTLE_S:
                return
            await asyncio.sleep(HEARTBEAT_S)


def _reported_at(replica_info: ReplicaInfo, addresses: ReporterAddresses | None) -> ReplicaInfo:
    return replace(
        replica_info,
        cache_reports=addresses.reports if addresses else None,
        cache_snapshots=addresses.snapshots if addresses else None,
    )
