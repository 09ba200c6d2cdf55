"""Who is there, as a follower of registries knows it: pure state without a clock, a socket or Ray.

What was known stays until it is contradicted, or until a probe fails. A registry contradicts what it has listed itself
and lists no more, what it calls departed, and what a newer incarnation of the same replica has replaced. A registry
that has just started lists few or none, and that says nothing of those that a former one had listed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.engine.backend import EngineLoad
from deployments.registry.messages import Listing, Loads, News
from deployments.replica_info import ReplicaInfo

PROBE_AFTER_S = 10.0
"""Seconds after which a replica that no registry has confirmed is probed. Registries confirm it every second."""

PROBE_PERIOD_S = 5.0
FAILED_PROBES = 2
"""One after the other, after which a replica is gone."""

PEER_KEPT_S = 30.0
"""For so long, in seconds, gateways stay known that a new registry does not list. Nobody waits for their answers."""


@dataclass
class _Replica:
    info: ReplicaInfo
    load: EngineLoad
    listed_by: str
    """The registry that listed it last."""
    confirmed: float
    probed: float = -math.inf
    failed_probes: int = 0


@dataclass
class _Gateway:
    endpoints: tuple[str, ...]
    listed_by: str
    confirmed: float


class KnownFleet:
    """Replicas and gateways, from the news of one registry after the other. `now` is seconds of a clock."""

    def __init__(self) -> None:
        self._registry = ""
        self._replicas: dict[str, _Replica] = {}
        self._gateways: dict[str, _Gateway] = {}

    def follow(self, registry: str) -> None:
        """From now on the news of this incarnation count, and no other's."""
        self._registry = registry

    def infos(self) -> list[ReplicaInfo]:
        """Of each replica."""
        return [each.info for each in self._replicas.values()]

    def loads(self) -> Mapping[str, EngineLoad]:
        """By incarnation."""
        return {incarnation: each.load for incarnation, each in self._replicas.items()}

    def endpoints(self) -> list[str]:
        """Where gateways publish their bookings."""
        return [endpoint for each in self._gateways.values() for endpoint in each.endpoints]

    def take(self, news: News, now: float) -> bool:
        """Takes news in their order. Returns whether they change what is known."""
        if news.registry != self._registry:
            return False
        return self._take_loads(news) if isinstance(news, Loads) else self._take_listing(news, now)

    def unconfirmed(self, now: float) -> list[ReplicaInfo]:
        """Replicas that are to be probed now: no registry has confirmed them lately."""
        due = [
            each
            for each in self._replicas.values()
            if now - each.confirmed > PROBE_AFTER_S and now - each.probed >= PROBE_PERIOD_S
        ]
        for each in due:
            each.probed = now
        return [each.info for each in due]

    def take_probe(self, incarnation: str, alive: bool) -> bool:
        """Takes what a probe has found. Returns whether it changes what is known."""
        known = self._replicas.get(incarnation)
        if known is None:
            return False
        known.failed_probes = 0 if alive else known.failed_probes + 1
        if known.failed_probes < FAILED_PROBES:
            return False
        del self._replicas[incarnation]
        return True

    def _take_loads(self, news: Loads) -> bool:
        changed = False
        for incarnation, load in news.loads.items():
            known = self._replicas.get(incarnation)
            if known and known.load != load:
                known.load, changed = load, True
        return changed

    def _take_listing(self, listing: Listing, now: float) -> bool:
        before = self._contents()
        listed = {report.info.incarnation: report for report in listing.replicas}
        newer = {report.info.replica for report in listing.replicas}
        for incarnation, known in list(self._replicas.items()):
            if incarnation not in listed and (
                known.listed_by == listing.registry or incarnation in listing.departed or known.info.replica in newer
            ):
                del self._replicas[incarnation]
        for incarnation, report in listed.items():
            self._replicas[incarnation] = _Replica(report.info, report.load, listing.registry, now)
        for name, gateway in list(self._gateways.items()):
            if gateway.listed_by == listing.registry or now - gateway.confirmed > PEER_KEPT_S:
                del self._gateways[name]
        for name, endpoints in listing.gateways.items():
            self._gateways[name] = _Gateway(endpoints, listing.registry, now)
        return self._contents() != before

    def _contents(self) -> tuple[object, ...]:
        return self.infos(), self.loads(), self.endpoints()
