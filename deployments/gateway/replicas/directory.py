"""The models of the fleet and the replicas that announced themselves for them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.fleet import Fleet, Model
from deployments.engine.backend import EngineLoad
from deployments.gateway.admission.model_admission import Admission
from deployments.gateway.errors.error_object import ApiError, shortened
from deployments.gateway.identity.tenants import Tenant
from deployments.replica_info import ReplicaInfo
from deployments.routing import Decision, Router
from deployments.routing.keys import KEY_TOKENS, PrefixKeys
from deployments.routing.seeds import seed_of

KEPT_DECISIONS = 256


@dataclass(eq=False)
class ServedModel:
    """One model as the gateway serves it."""

    model: Model
    admission: Admission
    router: Router
    replica_infos: dict[str, ReplicaInfo] = field(default_factory=dict)
    """Incarnation -> what that replica told of itself."""
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=KEPT_DECISIONS))
    """The last ones, for those who ask why."""
    keyed: bool = True
    """Whether the router looks at prompts at all."""

    def prompts_by(self) -> tuple[str, str, str | None]:
        """Renderer, checkpoint and revision that prompts are made by; '' where no replica tells, or none is needed."""
        for info in self.replica_infos.values() if self.keyed else ():
            if info.renderer:
                return info.renderer, info.checkpoint, info.revision
        return "", "", None


class Directory:
    """Names -> models, kept in step with the replicas that are there."""

    def __init__(self, fleet: Fleet, keys: PrefixKeys | None = None) -> None:
        """`keys`: those of the fleet's cache reporters, where they are followed."""
        self.fleet = fleet
        self._prefix_keys = keys
        self.models = [self._served(model) for model in fleet.models]
        self._by_name = {name: served for served in self.models for name in served.model.names}

    def find(self, name: str) -> ServedModel | None:
        """The model of that name or alias; None where the fleet has none."""
        return self._by_name.get(name)

    def open_to(self, tenant: Tenant) -> list[ServedModel]:
        """The models that this tenant may use."""
        return [served for served in self.models if tenant.may_use(served.model)]

    def open_model(self, name: str, tenant: Tenant) -> ServedModel:
        """The model of that name or alias. Raises ApiError 404 where there is none for this tenant."""
        served = self.find(name)
        if served is None or not tenant.may_use(served.model):
            known = ", ".join(one.model.name for one in self.open_to(tenant))
            raise ApiError(
                404,
                f"the model '{shortened(name)}' does not exist, or you may not use it; you may use {known}",
                param="model",
                code="model_not_found",
            )
        return served

    def update(self, replica_infos: Iterable[ReplicaInfo]) -> None:
        """Takes the full list of replicas that are there now. Those no longer in it get no new requests."""
        current: dict[str, dict[str, ReplicaInfo]] = {served.model.name: {} for served in self.models}
        for replica_info in replica_infos:
            if replica_info.model in current:
                current[replica_info.model][replica_info.incarnation] = replica_info
        for served in self.models:
            router, listed = served.router, current[served.model.name]
            for gone in router.replicas.keys() - listed.keys():
                router.remove(gone)
            for incarnation in [i for i in listed if i not in router.replicas]:
                self._add(router, listed[incarnation])
            served.replica_infos = listed
            served.admission.grant()

    def report(self, loads: Mapping[str, EngineLoad]) -> None:
        """Takes the engines' own word of their load, by incarnation."""
        for served in self.models:
            for incarnation, replica in served.router.replicas.items():
                if load := loads.get(incarnation):
                    served.router.report(replica, load.running, load.waiting, load.kv_use)

    def _served(self, model: Model) -> ServedModel:
        settings, mlperf = self.fleet.gateway, self.fleet.mlperf
        router = Router(model.name, settings.policy, prefixes=not mlperf, prefix_keys=self._prefix_keys)
        # MLPerf's clients count a refusal as a failure: such a fleet queues, however long it takes.
        max_queue = math.inf if mlperf else settings.max_queue
        start_timeout_s = max(pool.readiness_timeout_s for pool in model.pools)
        admission = Admission(router, max_queue, None if mlperf else settings.queue_timeout_s, start_timeout_s)
        return ServedModel(model, admission, router, keyed=router.policy.uses_keys and not mlperf)

    def _add(self, router: Router, replica_info: ReplicaInfo) -> None:
        block_tokens = replica_info.block_size or KEY_TOKENS
        router.add(
            replica_info.replica,
            replica_info.incarnation,
            replica_info.pool,
            math.ceil(replica_info.slots * self.fleet.gateway.overcommit),
            seed_of(replica_info.accelerator, replica_info.tensor_parallel),
            block_tokens=block_tokens,
            kv_tokens=replica_info.kv_blocks * block_tokens if replica_info.kv_blocks else None,
            reports_cache=replica_info.cache_reports is not None or not replica_info.caches,
        )

    def missing(self) -> list[str]:
        """Models that have no replica yet, but for those that have one only while someone asks."""
        return [
            served.model.name
            for served in self.models
            if not served.replica_infos and any(pool.min_replicas for pool in served.model.pools)
        ]
