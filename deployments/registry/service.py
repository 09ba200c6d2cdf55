"""The registry as Serve runs it: an actor with sockets of its own. Serve alone calls its methods."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import ray

from cluster.fleet import Fleet
from cluster.gateway_nodes import count_nodes
from cluster.names import GATEWAY
from deployments.autoscaling.control import Scaling
from deployments.engine.listening import engine_host
from deployments.registry import endpoint
from deployments.registry.keys import registry_keys
from deployments.registry.listener import Listener, Place
from deployments.registry.membership import Membership


class RegistryService:
    """A new incarnation, which begins empty: its participants find it and report again."""

    async def __init__(self, fleet: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        """Raises SecretsError where the fleet names a file that cannot be used."""
        self._fleet = Fleet.model_validate(fleet)
        self._membership = Membership(secrets.token_hex(8), time.monotonic())
        self._scaling = Scaling(self._fleet, time.monotonic())
        self._listener = Listener(self._membership, self._place, endpoint.find, endpoint.publish)
        await self._listener.start()
        self._keeping = asyncio.create_task(self._listener.keep())

    def _place(self) -> Place:
        host = engine_host(ray.nodes(), ray.util.get_node_ip_address(), stays_one_node=True)  # it listens anew if not
        return Place(host, registry_keys(self._fleet.name, self._fleet.secrets_file))

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """How large each pool should be, for Serve's controller, and on how many nodes gateways.

        Nothing of pools before all that live had time to report.
        """
        now = time.monotonic()
        wanted = await self._gateways()
        if self._membership.complete(now):
            wanted |= self._scaling.wanted(now, self._membership.loads(), self._membership.doors())
        return wanted

    async def _gateways(self) -> dict[str, int]:
        """On how many nodes, where the cluster's nodes decide that."""
        settings = self._fleet.gateway
        if settings.nodes == "head":
            return {}
        return {GATEWAY: max(1, count_nodes(settings, await asyncio.to_thread(ray.nodes)))}

    async def check_health(self) -> None:
        """Fails where it listens no more: Serve then replaces it."""
        if self._keeping.done() or not self._listener.listens:
            raise RuntimeError("the registry's sockets are closed")

    async def __del__(self) -> None:
        if hasattr(self, "_keeping"):
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            await self._listener.stop()
            await asyncio.to_thread(endpoint.withdraw, self._membership.registry)
