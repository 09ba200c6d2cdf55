"""A replica as Serve runs it: an actor that holds the GPUs and supervises one engine process."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
from ray import serve

from cluster.checkpoints import resolve
from cluster.devices import require_devices
from cluster.vendors import ENGINE_KINDS
from deployments.engine.backend import EngineSpec
from deployments.engine.listening import engine_host
from deployments.engine.process import EngineError
from deployments.engine.supervisor import Seat, Supervisor
from deployments.local_ray import logs_folder
from deployments.registry import endpoint
from deployments.registry.announcer import Announcer
from deployments.registry.keys import registry_keys

START_ATTEMPTS = 2
"""A second try helps where another process took the port between its choice and its use."""


class EngineReplica:
    """One replica. Its constructor returns once the engine answers, so that Serve counts it ready only then."""

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, spec: EngineSpec, seat: Seat, checkpoint_cache: Path | None, stays_one_node: bool
    ) -> None:
        require_devices(seat.vendor, spec.engine, spec.tensor_parallel, os.environ)
        context = serve.get_replica_context()
        name = f"{context.deployment}#{context.replica_id.unique_id}"
        log = logs_folder() / f"engine-{name}.log"
        if ENGINE_KINDS[spec.engine].loads_checkpoint:
            found = await asyncio.to_thread(resolve, spec.checkpoint, spec.revision, checkpoint_cache)
            environment = {**found.environment, **spec.environment}
            spec = replace(spec, checkpoint=str(found.path), environment=environment)
        self._announcer = Announcer(endpoint.find, partial(registry_keys, seat.fleet, seat.secrets_file))
        self._announcing = asyncio.create_task(self._announcer.run())
        for attempt in range(1, START_ATTEMPTS + 1):
            self._supervisor = Supervisor(
                spec,
                replace(seat, replica=name),
                log,
                engine_host(ray.nodes(), ray.util.get_node_ip_address(), stays_one_node),
                self._announcer.report,
                self._announcer.withdraw,
            )
            try:
                await self._supervisor.start()
                return
            except EngineError:
                if attempt == START_ATTEMPTS:
                    raise

    async def check_health(self) -> None:
        """Fails once the engine could not be kept up, or is not reported: Serve then replaces the whole replica."""
        if self._supervisor.failure:
            raise self._supervisor.failure
        if self._announcing.done():
            raise RuntimeError("the replica reports to no registry any more")

    async def __del__(self) -> None:
        if hasattr(self, "_supervisor"):
            await self._supervisor.stop()
        if hasattr(self, "_announcing"):
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
