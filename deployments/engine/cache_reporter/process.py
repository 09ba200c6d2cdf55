"""Starts a cache reporter beside an engine, and another one where it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.fleet_secrets import SecretsError, SecretsWatch, open_secrets, secrets_path
from deployments.engine.process import PROJECT_ROOT
from deployments.kv_cache.report_subscriber import ReporterAddresses
from deployments.log_files import append_to

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.5
FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 30.0
"""Before another start: twice as long after each that failed."""

logger = logging.getLogger("ray.serve")


class ReporterError(RuntimeError):
    """A reporter that did not start."""


@dataclass(frozen=True)
class ReporterSettings:
    """What a reporter is started with.

    Attributes:
        events: the engine's socket of KV events.
        replays: its socket that repeats them.
        host: the address that gateways reach it by.
        model: the name that gateways know the model by.
        fleet: the fleet's name.
        secrets_file: as the fleet file names it.
    """

    events: str
    replays: str
    host: str
    model: str
    most_blocks: int | None
    fleet: str
    secrets_file: str | None

    @property
    def secrets_path(self) -> Path:
        """On this node."""
        return secrets_path(self.fleet, self.secrets_file)

    def command(self) -> list[str]:
        words = [sys.executable, "-m", "deployments.engine.cache_reporter"]
        words += ["--events", self.events, "--replays", self.replays, "--host", self.host, "--model", self.model]
        words += ["--secrets-file", str(self.secrets_path)]
        return words + (["--most-blocks", str(self.most_blocks)] if self.most_blocks else [])


class CacheReporter:
    """One reporter's process. Ends with whoever started it: its standard input ends then."""

    def __init__(self, settings: ReporterSettings, log: Path) -> None:
        self._settings, self._log = settings, log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> ReporterAddresses:
        """Returns once it listens. Raises ReporterError."""
        try:
            await asyncio.to_thread(open_secrets, self._settings.fleet, self._settings.secrets_file)
        except (SecretsError, OSError) as error:
            raise ReporterError(str(error)) from error
        with append_to(self._log) as log:
            started = self._process = subprocess.Popen(  # noqa: ASYNC220  # returns at once; uvloop's own needs the main thread
                self._settings.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=PROJECT_ROOT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        assert started.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await asyncio.to_thread(started.stdout.readline)
            return ReporterAddresses(**json.loads(line))
        except (TimeoutError, ValueError, TypeError) as error:
            await self.stop()
            raise ReporterError(f"it does not say where it listens; {self._log} says more") from error
        except BaseException:
            await self.stop()
            raise

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def stop(self) -> None:
        """Ends it. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        finally:
            process.stdout.close()


class CacheReporting:
    """Keeps a reporter up, with the fleet's present secrets, for as long as one engine lives.

    `announce` is called where that changes after `start`: with where it listens, or None while it does not.
    """

    def __init__(
        self, settings: ReporterSettings, log: Path, announce: Callable[[ReporterAddresses | None], None]
    ) -> None:
        self.model = settings.model
        self._reporter, self._announce = CacheReporter(settings, log), announce
        self._keeping: asyncio.Task[None] | None = None
        self._secrets = SecretsWatch(settings.secrets_path)

    async def start(self) -> ReporterAddresses | None:
        """Returns once it listens, or has failed: then None, and it is tried again in the background."""
        addresses = await self._try()
        self._keeping = asyncio.create_task(self._keep(addresses is None))
        return addresses

    async def stop(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await self._reporter.stop()

    async def _try(self) -> ReporterAddresses | None:
        try:
            return await self._reporter.start()
        except (ReporterError, OSError) as error:
            logger.warning("no cache reporter, so this replica's prefixes are not known: %s", error)
            return None

    async def _keep(self, failed: bool) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            while self._reporter.runs and not await asyncio.to_thread(self._secrets.changed):  # noqa: ASYNC110  # a file
                await asyncio.sleep(POLL_S)
            pause_s = min(2 * pause_s, MOST_PAUSE_S) if failed else FIRST_PAUSE_S
            if not failed:
                reason = "must use other secrets" if self._reporter.runs else "has ended"
                logger.warning("the cache reporter of %s %s; starting another one", self.model, reason)
                self._announce(None)
            await self._reporter.stop()
            await asyncio.sleep(pause_s)
            addresses = await self._try()
            failed = addresses is None
            if addresses:
                self._announce(addresses)
