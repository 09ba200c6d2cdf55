"""Who is there, as one registry has heard it: pure state without a clock, a socket or Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deployments.autoscaling.control import Door
from deployments.engine.backend import EngineLoad
from deployments.registry.messages import GatewayReport, Listing, Loads, News, ReplicaReport, Report, Withdrawal
from deployments.replica_info import ReplicaInfo

LIFETIME_S = 10.0
"""Seconds after which a participant that is silent is gone. Long, because a busy machine delays reports, and gateways
notice short failures themselves: they pass over a replica that refuses a connection."""

SETTLING_S = 3.0
"""Seconds after which every participant that lives has had the time to find a new registry."""

STALL_S = 1.0
"""A registry that did not look for longer than this, in seconds, stood still itself: others' silence is its own."""

IDLE_PERIOD_S = 1.0
"""Seconds between two full lists while nothing changes: a follower that missed one has the next."""

DEPARTED_KEPT_S = 60.0
"""For so long, in seconds, listings say that an incarnation has departed."""

MOST_DEPARTED = 256
MOST_REPLICAS = 4_096
MOST_GATEWAYS = 1_024
"""Participants of a fleet. Reports of further ones are not taken, so that memory stays bounded."""


@dataclass
class _Replica:
    """A replica's last report, and when it came."""

    report: ReplicaReport
    heard: float


@dataclass
class _Gateway:
    """The last report of a node's gateways, and when it came."""

    report: GatewayReport
    heard: float


class Membership:
    """Participants, from their reports. `now` is seconds of any clock that does not go back.

    `registry` is this registry's incarnation: it begins empty, and has to hear again what former ones knew.
    """

    def __init__(self, registry: str, now: float) -> None:
        self.registry = registry
        self._replicas: dict[str, _Replica] = {}
        self._gateways: dict[str, _Gateway] = {}
        self._withdrawn: dict[str, float] = {}
        """Incarnation -> when. A report that was under way then must not list it again."""
        self._silent: dict[str, float] = {}
        """Incarnation -> when it was given up. It is listed again where it reports again: it was only slow."""
        self._looked = now
        self._complete_at = now + SETTLING_S
        self._members_changed = True
        self._changed_loads: set[str] = set()
        self._listed_at = -math.inf

    @property
    def changed(self) -> bool:
        """Whether something is to be published at once."""
        return self._members_changed or bool(self._changed_loads)

    def complete(self, now: float) -> bool:
        """Whether everyone that lives has had the time to report to this registry."""
        return now >= self._complete_at

    def loads(self) -> list[tuple[ReplicaInfo, EngineLoad]]:
        """Of each replica that is there."""
        return [(each.report.info, each.report.load) for each in self._replicas.values()]

    def doors(self) -> list[Door]:
        """What all gateways tell of models."""
        return [door for each in self._gateways.values() for door in each.report.doors]

    def take(self, report: Report, now: float) -> bool:
        """Takes a report. Returns False where there are too many participants for one more."""
        match report:
            case ReplicaReport():
                return self._take_replica(report, now)
            case GatewayReport():
                return self._take_gateway(report, now)
            case Withdrawal(incarnation):
                self._depart(self._withdrawn, incarnation, now)
                return True

    def look(self, now: float) -> None:
        """Gives up who has been silent for too long. Call it several times a second."""
        stood_s, self._looked = now - self._looked, now
        if stood_s > STALL_S:
            for replica in self._replicas.values():
                replica.heard += stood_s
            for node in self._gateways.values():
                node.heard += stood_s
            self._complete_at = now + SETTLING_S
        for incarnation in [i for i, each in self._replicas.items() if now - each.heard > LIFETIME_S]:
            self._depart(self._silent, incarnation, now)
        for gateway in [name for name, each in self._gateways.items() if now - each.heard > LIFETIME_S]:
            del self._gateways[gateway]
            self._members_changed = True

    def news(self, now: float) -> News | None:
        """What has to be published now; None where nothing has changed and the last full list is young enough."""
        if self._members_changed or now - self._listed_at >= IDLE_PERIOD_S:
            self._members_changed, self._listed_at = False, now
            self._changed_loads.clear()
            return self._listing(now)
        if self._changed_loads:
            loads = {i: self._replicas[i].report.load for i in self._changed_loads if i in self._replicas}
            self._changed_loads.clear()
            return Loads(self.registry, loads)
        return None

    def _listing(self, now: float) -> Listing:
        departed = {**self._silent, **self._withdrawn}
        return Listing(
            self.registry,
            tuple(each.report for each in self._replicas.values()),
            {name: each.report.endpoints for name, each in self._gateways.items()},
            tuple(incarnation for incarnation, at in departed.items() if now - at <= DEPARTED_KEPT_S),
        )

    def _take_replica(self, report: ReplicaReport, now: float) -> bool:
        incarnation = report.info.incarnation
        if incarnation in self._withdrawn:
            return True
        known = self._replicas.get(incarnation)
        if known is None and len(self._replicas) >= MOST_REPLICAS:
            return False
        if known is None or known.report.info != report.info:
            self._members_changed = True
        elif known.report.load != report.load:
            self._changed_loads.add(incarnation)
        self._silent.pop(incarnation, None)
        self._replicas[incarnation] = _Replica(report, now)
        return True

    def _take_gateway(self, report: GatewayReport, now: float) -> bool:
        known = self._gateways.get(report.gateway)
        if known is None and len(self._gateways) >= MOST_GATEWAYS:
            return False
        if known is None or known.report.endpoints != report.endpoints:
            self._members_changed = True
        self._gateways[report.gateway] = _Gateway(report, now)
        return True

    def _depart(self, departed: dict[str, float], incarnation: str, now: float) -> None:
        if incarnation in departed:
            return
        if len(departed) >= MOST_DEPARTED:
            del departed[next(iter(departed))]
        departed[incarnation] = now
        self._replicas.pop(incarnation, None)
        self._members_changed = True
