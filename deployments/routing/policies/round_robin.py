"""Round robin: each replica in turn, by name, whatever its load. The baseline that others are held against."""

from __future__ import annotations

from deployments.routing.policy import Choice, Situation, chosen


class RoundRobin:
    """Turns go by name, so that replicas which come, go or are full for a moment do not disturb the order."""

    uses_keys, uses_prefixes = False, False

    def __init__(self) -> None:
        self._last = ""

    def choose(self, situation: Situation) -> Choice:
        ordered = sorted(range(len(situation.names)), key=situation.names.__getitem__)
        place = next((place for place in ordered if situation.names[place] > self._last), ordered[0])
        self._last = situation.names[place]
        return chosen(situation, place)
