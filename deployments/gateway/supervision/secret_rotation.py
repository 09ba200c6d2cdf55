"""Replaces a supervisor's processes when the fleet's secrets change: each reads them when it starts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from cluster.fleet_secrets import SecretsWatch, secrets_path
from deployments.gateway.supervision.supervisor import Supervisor

LOOK_PERIOD_S = 1.0

logger = logging.getLogger("mixfleet.gateway")


async def follow_secrets(supervisor: Supervisor, replacing: asyncio.Lock) -> None:
    """Runs until it is cancelled. `replacing` is held while processes are replaced, and `Supervisor.keep` runs."""
    watch = SecretsWatch(_path(supervisor))
    while True:
        await asyncio.sleep(LOOK_PERIOD_S)
        async with replacing:
            if watch.path != _path(supervisor):
                watch = SecretsWatch(_path(supervisor))  # another fleet is served, by processes that have read its file
            if not await asyncio.to_thread(watch.changed):
                continue
            logger.info("the fleet's secrets have changed; replacing the gateway processes")
            try:
                await supervisor.replace(supervisor.fleet, supervisor.host)
            except (OSError, RuntimeError) as error:
                logger.warning("the gateway processes stay as they are: %s", error)


def _path(supervisor: Supervisor) -> Path:
    return secrets_path(supervisor.fleet["name"], supervisor.fleet["secrets_file"])
