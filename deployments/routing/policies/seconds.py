"""The project's own rule: the least seconds, for this request and for those that come after it.

    price(r) = waiting(r) + own(r) + (backlog / typical) * fleet(r) + decoding(r)

- waiting(r): work booked on r whose first tokens have not come, at r's own speed.
- own(r): what of this request r has not in its cache, at r's own speed.
- fleet(r): the same work at the fleet's mean speed. What it takes from those who come later does not depend on who
  does it: priced at r's own speed the slow replicas would be spared and the fast ones flooded.
- backlog: all waiting work at the fleet's mean speed, for each replica; typical: a running mean of the least fleet(r)
  of recent requests. Their quotient is how many typical requests wait in each queue, so that many behind this one: a
  number without a unit. Nearly zero in an idle fleet, where nothing is worth a detour; with a queue it keeps prompts
  with a common prefix together.
- decoding(r): what one more sequence there adds to the steps of the answers under way.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation
from deployments.routing.work import Floats

WEIGHT = 1.0
"""Of the price for others. From 0.3 to 3 the results are the same (docs/decisions.md)."""
MEMORY = 0.98
"""Of the running mean, for each request."""
LEAST_TYPICAL_S = 1e-6
DECODE_HORIZON = 0.1
"""Share of an answer's tokens that are taken to be still ahead of a neighbour when a sequence joins it."""


class Seconds:
    """State: the typical request of the model."""

    uses_prefixes = True

    def __init__(self, weight: float = WEIGHT) -> None:
        self.weight = weight
        self._typical_s = 0.0

    def choose(self, situation: Situation) -> Choice:
        waiting_s, own_s = situation.waiting_s, situation.own_s
        fleet = fleet_theta(situation)
        fleet_s: Floats = situation.work @ fleet
        others = self._requests_behind(situation, fleet) * self.weight * urgency(situation.request.priority)
        decoding_s = self._decoding_s(situation)
        price = waiting_s + own_s + others * fleet_s + decoding_s
        place = cheapest(self._in_time(situation, price), situation.chance)
        least = float(fleet_s.min())
        self._typical_s = MEMORY * self._typical_s + (1 - MEMORY) * least if self._typical_s else least
        terms = {
            "waiting_s": waiting_s,
            "own_s": own_s,
            "others_s": others * fleet_s,
            "decoding_s": decoding_s,
            "price_s": price,
        }
        return Choice(place, terms)

    def _requests_behind(self, situation: Situation, fleet: Floats) -> float:
        table, rows = situation.table, situation.rows
        backlog_s = float((table.waiting_work[rows] + table.others_work[rows]).sum(axis=0) @ fleet) / len(rows)
        return backlog_s / max(self._typical_s, LEAST_TYPICAL_S) if self._typical_s else 0.0

    def _decoding_s(self, situation: Situation) -> Floats:
        table, rows = situation.table, situation.rows
        tokens_ahead = situation.output_tokens * DECODE_HORIZON
        added: Floats = table.step_s[rows] * table.decoding(rows) * tokens_ahead
        return added

    def _in_time(self, situation: Situation, price: Floats) -> Floats:
        """Prices among which only those candidates are left that meet the deadline; where none does, the soonest."""
        if situation.request.deadline is None:
            return price
        first_s = situation.waiting_s + situation.own_s
        in_time = first_s <= situation.request.deadline - situation.now
        return np.where(in_time, price, np.inf) if in_time.any() else first_s


def fleet_theta(situation: Situation) -> Floats:
    """Seconds of each feature at the mean of the candidates' rates."""
    rates: Floats = 1.0 / (1.0 / situation.table.theta[situation.rows]).mean(axis=0)
    return rates


def urgency(priority: int) -> float:
    """How much of the others' price a request pays: half as much with each step of priority, twice with each below."""
    return float(2.0 ** -max(-8, min(8, priority)))
