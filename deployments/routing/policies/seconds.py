"""The project's own rule: the least seconds, for this request and for those that come after it.

    price(r) = waiting(r) + own(r) + behind(r) * fleet(r) + decoding(r)
    behind(r) = queue + min(1, queue / 4) * (waiting requests of r + open requests of r / 10) + displaced(r)

- waiting(r): work booked on r whose first tokens have not come, at r's own speed.
- own(r): what of this request r has not in its cache, at r's own speed.
- fleet(r): the same work at the fleet's mean speed. What it takes from those who come later does not depend on who
  does it: priced at r's own speed the slow replicas would be spared and the fast ones flooded.
- queue: how many typical requests wait at each replica: all waiting work at the fleet's mean speed over a running mean
  of the least fleet(r) of recent requests, a number without a unit. Nearly zero in an idle fleet, where nothing is
  worth a detour; with a queue it keeps prompts with a common prefix together.
- The requests of r itself stand for those that will come behind this one there: a long prompt goes where few wait, and
  the short ones are not caught behind it; answers under way feel it too, in the time between their tokens. That is
  worth its price only where queues are long: LMetric (2603.15202) pays it always, by its product.
- displaced(r): what a full cache gives up for this request and will have to compute again: the share of blocks that it
  gives up for new ones, times how often those are asked for again (again / (1 - again), since what is computed again
  drives out others in turn). Nearly zero where caches are large or nothing comes twice; else it keeps each group of
  prompts on as many replicas as have room for it.
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
LONG_QUEUE = 4.0
"""Typical requests at each replica from which on a replica's own requests count in full."""
OPEN_SHARE = 0.1
"""How much an open request counts against one whose first token has not come."""
DECODE_HORIZON = 0.1
"""Share of an answer's tokens that are taken to be still ahead of a neighbour when a sequence joins it."""

MOST_AGAIN = 0.9
"""Of what is driven out, counted as asked for again."""


class Seconds:
    """State: the typical request of the model."""

    uses_keys, uses_prefixes = True, True

    def __init__(self, weight: float = WEIGHT) -> None:
        self.weight = weight
        self._typical: Floats | None = None

    def choose(self, situation: Situation) -> Choice:
        waiting_s, own_s = situation.waiting_s, situation.own_s
        fleet = fleet_theta(situation)
        fleet_s: Floats = situation.work @ fleet
        behind = self._behind(situation, fleet) + displaced(situation)
        others_s = fleet_s * behind * (self.weight * urgency(situation.request.priority))
        decoding_s = self._decoding_s(situation)
        price = waiting_s + own_s + others_s + decoding_s
        place = cheapest(self._in_time(situation, price), situation.chance)
        least = situation.work[int(fleet_s.argmin())]
        # As work and not as seconds: what is known of the rates changes faster than the requests do.
        self._typical = least.copy() if self._typical is None else MEMORY * self._typical + (1 - MEMORY) * least
        terms = {
            "waiting_s": waiting_s,
            "own_s": own_s,
            "others_s": others_s,
            "decoding_s": decoding_s,
            "price_s": price,
        }
        return Choice(place, terms)

    def _behind(self, situation: Situation, fleet: Floats) -> Floats:
        """(n) how many requests are taken to wait for this one, if it goes to each candidate."""
        count = len(situation.rows)
        backlog_s = float((situation.booked_work @ fleet).sum()) / count
        if not backlog_s or self._typical is None:
            return np.zeros(count)
        queue = backlog_s / float(self._typical @ fleet)
        own = situation.waiting_requests + OPEN_SHARE * situation.open_requests
        behind: Floats = queue + min(1.0, queue / LONG_QUEUE) * own
        return behind

    def _decoding_s(self, situation: Situation) -> Floats:
        tokens_ahead = situation.output_tokens * DECODE_HORIZON
        decoding = situation.open_requests - situation.waiting_requests
        added: Floats = situation.table.step_s[situation.rows] * (decoding * tokens_ahead)
        return added

    def _in_time(self, situation: Situation, price: Floats) -> Floats:
        """Prices among which only those candidates are left that meet the deadline; where none does, the soonest."""
        if situation.request.deadline is None:
            return price
        first_s = situation.waiting_s + situation.own_s
        in_time = first_s <= situation.request.deadline - situation.now
        return np.where(in_time, price, np.inf) if in_time.any() else first_s


def displaced(situation: Situation) -> Floats:
    """(n) how often what a request needs anew on each candidate will be computed again for what it drives out."""
    again = min(situation.asked_again, MOST_AGAIN)
    displaced: Floats = situation.table.displaces[situation.rows] * (again / (1 - again))
    return displaced


def fleet_theta(situation: Situation) -> Floats:
    """Seconds of each feature at the mean of the candidates' rates."""
    seconds: Floats = len(situation.rows) / (1.0 / situation.theta).sum(axis=0)
    return seconds


def urgency(priority: int) -> float:
    """How much of the others' price a request pays: half as much with each step of priority, twice with each below."""
    return float(2.0 ** -max(-8, min(8, priority)))
