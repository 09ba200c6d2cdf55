"""A node's gateways and the registry: what is known is handed to the processes, and what they tell is reported.

The supervisor's own, so that neither a Serve actor nor a gateway process stands between a node and the registry.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import asdict

import zmq

from cluster.fleet import Fleet
from cluster.fleet_secrets import SecretsError
from deployments.engine.access.tls import TlsError
from deployments.gateway.supervision.control_messages import Replicas
from deployments.gateway.supervision.supervisor import Supervisor
from deployments.registry.follower import Follower
from deployments.registry.keys import registry_keys
from deployments.registry.known_fleet import KnownFleet
from deployments.registry.messages import GatewayReport, RegistryAddress
from deployments.registry.probe import answering
from deployments.registry.reporter import Reporter

REPORT_PERIOD_S = 0.5
PROBE_PERIOD_S = 1.0

logger = logging.getLogger("mixfleet.gateway")


class RegistryLink:
    """Belongs to the supervisor's event loop. `run` is the task; cancel it to end."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._name = secrets.token_hex(8)
        self._known = KnownFleet()
        self._follower = Follower(self._known, self._hand_on)
        self._reporter = Reporter()
        self._problem = ""

    async def follow(self, address: RegistryAddress) -> None:
        """Follows and reports to this registry from now on. What is known stays."""
        fleet = self._supervisor.fleet
        try:
            keys = await asyncio.to_thread(registry_keys, fleet["name"], fleet["secrets_file"])
            await self._follower.connect(address, keys)
            await self._reporter.connect(address, keys)
            self._problem = ""
        except (SecretsError, ValueError, zmq.ZMQError) as error:
            if str(error) != self._problem:
                logger.warning("the registry cannot be followed: %s", error)
                self._problem = str(error)

    def replicas(self) -> Replicas:
        """What is known."""
        return Replicas(
            [info.as_dict() for info in self._known.infos()],
            {incarnation: asdict(load) for incarnation, load in self._known.loads().items()},
            self._known.endpoints(),
        )

    async def run(self) -> None:
        """Reports and probes until it is cancelled."""
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._report())
                        tasks.create_task(self._probe())
                except* Exception:  # a node that reports nothing is lost to autoscaling and to its peers
                    logger.exception("reports to the registry ended; beginning again")
                    await asyncio.sleep(PROBE_PERIOD_S)
        finally:
            await self._follower.close()
            await self._reporter.close()

    def _hand_on(self) -> None:
        self._supervisor.update(self.replicas())

    async def _report(self) -> None:
        while True:
            statuses = [process.status for process in self._supervisor.processes.values()]
            endpoints = tuple(status.endpoint for status in statuses if status.endpoint)
            doors = tuple(door for status in statuses for door in status.doors)
            self._reporter.send(GatewayReport(self._name, endpoints, doors))
            await asyncio.sleep(REPORT_PERIOD_S)

    async def _probe(self) -> None:
        """Takes replicas away that no registry confirms and that do not answer."""
        while True:
            await asyncio.sleep(PROBE_PERIOD_S)
            if not (due := self._known.unconfirmed(time.monotonic())):
                continue
            try:
                fleet = Fleet.model_validate(self._supervisor.fleet)
                alive = await answering(fleet, [info.url for info in due])
            except (SecretsError, TlsError) as error:
                logger.warning("replicas that no registry confirms cannot be probed: %s", error)
                continue
            changes = [self._known.take_probe(info.incarnation, info.url in alive) for info in due]
            if any(changes):
                self._hand_on()
