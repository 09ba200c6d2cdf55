"""What all requests of one gateway process share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from cluster.fleet import Fleet
from cluster.fleet_secrets import open_secrets
from deployments.engine.access.client import EngineHeaders, no_headers
from deployments.engine.access.keys import EngineKeys
from deployments.gateway.file_reserve import FILES
from deployments.gateway.identity.operators import Operators
from deployments.gateway.identity.tenants import Tenants
from deployments.gateway.in_flight import InFlight
from deployments.gateway.metrics.gateway_metrics import Metrics
from deployments.gateway.metrics.preparation_collector import PreparationCollector
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget
from deployments.gateway.preparation.bodies.json_body import Source
from deployments.gateway.preparation.preparer import preparer
from deployments.gateway.replicas.directory import Directory, ServedModel
from deployments.gateway.replicas.kv_event_followers import Feeds
from deployments.kv_cache.keying import prefix_keys
from deployments.replica_info import ReplicaInfo


class GatewayState:
    """Models, replicas, tenants and counters. One event loop owns it."""

    def __init__(self, fleet: Fleet, own_engines: bool = True) -> None:
        """`own_engines`: whether the replicas are the fleet's own, which its key is shown to.

        Raises KeyFileError or SecretsError where the fleet names a file that cannot be used.
        """
        self.fleet = fleet
        self.engine_headers: EngineHeaders = EngineKeys.of_fleet(fleet).headers if own_engines else no_headers
        self.secrets = open_secrets(fleet.name, fleet.secrets_file)
        self.directory = Directory(fleet, prefix_keys(self.secrets))
        self.feeds = Feeds(self.secrets)
        self.preparer = preparer(keyed=not fleet.mlperf, settings=fleet.gateway)
        self.bytes = ByteBudget(fleet.gateway.max_bytes_in_flight, is_shared=len(fleet.tenants) > 1)
        self.metrics = Metrics(self.directory, self.feeds)
        self.metrics.registry.register(PreparationCollector(self.preparer.pool, self.bytes, FILES))
        self.tenants = Tenants(fleet)
        self.operators = Operators(fleet)
        self.in_flight = InFlight()
        self.started = int(time.time())
        self.sources: dict[str, Source] = {}
        """What each model's prompts are made by, by its names."""
        self.all_metrics: Callable[[], Awaitable[bytes]] | None = None
        """Metrics of all gateway processes of this node; None where this is the only one."""
        self._loading: dict[Source, asyncio.Task[str]] = {}

    def update(self, replicas: Sequence[ReplicaInfo]) -> None:
        """Takes the full list of replicas that are there now."""
        before = {incarnation for served in self.directory.models for incarnation in served.router.replicas}
        self.directory.update(replicas)
        self.feeds.leave(before - {info.incarnation for info in replicas})
        for served in self.directory.models:
            if served.keyed and served.router.policy.uses_prefixes:
                self.feeds.follow(served.router, served.replica_infos.values())
            self._load_renderer(served)
        models = self.directory.models
        self.sources = {name: Source(*served.prompts_by()) for served in models for name in served.model.names}

    def _load_renderer(self, served: ServedModel) -> None:
        """Ahead of the first request, which would do without."""
        source = Source(*served.prompts_by())
        if source.renderer and source not in self._loading:
            self._loading[source] = asyncio.create_task(self.preparer.load(source))

    def unready(self) -> list[str]:
        """What is waited for before every request finds a replica, and its prefix."""
        loading = [source.checkpoint for source, task in self._loading.items() if not task.done()]
        return self.directory.missing() + [f"the tokenizer of {checkpoint}" for checkpoint in loading]

    async def render_metrics(self) -> bytes:
        """In Prometheus' text format."""
        return await self.all_metrics() if self.all_metrics else self.metrics.render()

    async def close(self) -> None:
        await self.feeds.close()
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await self.preparer.close()
