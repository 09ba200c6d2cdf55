"""A replica's reports to the registry, wherever that is: it is looked for again while it confirms nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from deployments.encrypted_sockets import SocketKeys
from deployments.engine.backend import EngineLoad
from deployments.registry.messages import RegistryAddress, ReplicaReport, Withdrawal
from deployments.registry.reporter import Reporter
from deployments.replica_info import ReplicaInfo

SILENT_S = 2.5
"""Seconds without a receipt after which the registry may be another one. Replicas report once a second at least."""

LOOK_PERIOD_S = 0.5
CHECK_PERIOD_S = 10.0
"""Seconds between two looks while the registry answers: it may be a former one that another has replaced."""

WITHDRAW_S = 2.0
"""Seconds within which the registry has to confirm a withdrawal. It gives up a silent replica in any case."""

logger = logging.getLogger("mixfleet.registry")


class Announcer:
    """Belongs to one event loop. `run` is the task; cancel it to end."""

    def __init__(self, find: Callable[[], RegistryAddress | None], keys: Callable[[], SocketKeys]) -> None:
        """`find` and `keys` may block: they are called in a thread."""
        self._find, self._keys = find, keys
        self._reporter = Reporter()

    def report(self, info: ReplicaInfo, load: EngineLoad) -> bool:
        """Never waits. False where the registry is not connected, or takes nothing."""
        return self._reporter.send(ReplicaReport(info, load))

    async def withdraw(self, incarnation: str) -> None:
        """Takes a replica off the registry's list for good. Raises TimeoutError where the registry does not confirm."""
        await self._reporter.deliver(Withdrawal(incarnation), WITHDRAW_S)

    async def run(self) -> None:
        """Stays connected to the registry until it is cancelled."""
        problem = ""
        try:
            while True:
                try:
                    address, keys = await asyncio.to_thread(self._found)
                    if address:
                        await self._reporter.connect(address, keys)
                    problem = ""
                except Exception as error:  # Ray, the secrets file, ZeroMQ: each may be well the next time
                    if (now := f"{type(error).__name__}: {error}") != problem:
                        logger.warning("the registry is not found: %s", now)
                        problem = now
                await self._until_due()
        finally:
            await self._reporter.close()

    def _found(self) -> tuple[RegistryAddress | None, SocketKeys]:
        return self._find(), self._keys()

    async def _until_due(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_PERIOD_S)
            now = time.monotonic()
            if now - self._reporter.heard > SILENT_S or now - looked > CHECK_PERIOD_S:
                return
