"""Round robin: each replica in turn, by name, whatever its load. The baseline that others are held against."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.routing.replica import Replica
from deployments.routing.work import Work


class RoundRobin:
    """Turns go by name, so that replicas which come, go or are full for a moment do not disturb the order."""

    def __init__(self) -> None:
        self._last = ""

    def choose(self, work: Work, candidates: Sequence[Replica]) -> Replica:
        ordered = sorted(candidates, key=lambda replica: replica.name)
        chosen = next((replica for replica in ordered if replica.name > self._last), ordered[0])
        self._last = chosen.name
        return chosen
