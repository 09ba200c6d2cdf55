"""The models of the fleet and the replicas that announced themselves for them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.fleet import Fleet, Model
from deployments.announcement import Announcement
from deployments.gateway.admission import Admission
from deployments.routing import Replica, make_policy


@dataclass(eq=False)
class Served:
    """One model as the gateway serves it."""

    model: Model
    admission: Admission
    announcements: dict[str, Announcement] = field(default_factory=dict)
    """Incarnation -> what that replica told of itself."""


class Directory:
    """Names -> models, kept in step with the announcements."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        settings = fleet.gateway
        self.models = [
            Served(
                model,
                Admission(
                    make_policy(settings.policy),
                    # MLPerf's clients count a refusal as a failure: such a fleet queues, however long it takes.
                    max_queue=math.inf if fleet.mlperf else settings.max_queue,
                    queue_timeout_s=None if fleet.mlperf else settings.queue_timeout_s,
                ),
            )
            for model in fleet.models
        ]
        self._by_name = {name: served for served in self.models for name in served.model.names}

    def find(self, name: str) -> Served | None:
        """The model of that name or alias; None where the fleet has none."""
        return self._by_name.get(name)

    def update(self, announcements: Iterable[Announcement]) -> None:
        """Takes the full list of replicas that are there now. Those no longer in it get no new requests."""
        current: dict[str, dict[str, Announcement]] = {served.model.name: {} for served in self.models}
        for announcement in announcements:
            if announcement.model in current:
                current[announcement.model][announcement.incarnation] = announcement
        for served in self.models:
            served.announcements = current[served.model.name]
            known = {replica.incarnation: replica for replica in served.admission.replicas}
            served.admission.set_replicas([known.get(i) or self._new(a) for i, a in served.announcements.items()])

    def _new(self, announcement: Announcement) -> Replica:
        limit = math.ceil(announcement.slots * self.fleet.gateway.overcommit)
        return Replica(announcement.replica, announcement.incarnation, announcement.pool, limit)

    def ready(self) -> bool:
        """Whether every model that should have a replica has one."""
        return all(served.announcements for served in self.models)
