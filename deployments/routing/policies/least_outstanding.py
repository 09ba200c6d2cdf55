"""Least outstanding requests, the `least_conn` of nginx and the `LeastLoad` of KubeAI: a count, whatever a request is
and however fast the replica. Equal ones by chance."""

from __future__ import annotations

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation, chosen


class LeastOutstanding:
    """Counts what all gateways have open, not what engines report: a request counts from its choice on."""

    uses_keys, uses_prefixes = False, False

    def choose(self, situation: Situation) -> Choice:
        load = situation.open_requests
        return chosen(situation, cheapest(load, situation.chance), {"open_requests": load})
