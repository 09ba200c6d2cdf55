"""Least outstanding work: the replica with the least booked work per slot; ties go to chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

from deployments.routing.replica import Replica
from deployments.routing.work import Work


class LeastWork:
    """Work counts per unit of a replica's limit, so that one with twice the slots holds twice the work."""

    def choose(self, work: Work, candidates: Sequence[Replica]) -> Replica:
        prices = [(replica.open_work + work.amount) / replica.limit for replica in candidates]
        least = min(prices)
        return random.choice([r for r, price in zip(candidates, prices, strict=True) if price == least])
