"""The project's own rule: the least seconds, for this request and for those that come after it.

    price(r) = waiting(r) + own(r) + behind(r) * fleet(r) + (1 - long) * decoding(r)
    behind(r) = queue + long * (waiting requests of r + open requests of r / 10) + displaced(r)
    long = min(1, queue / 4)

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
- decoding(r): what the request's answer and each answer under way there add to each other's steps while they run side
  by side. A neighbour has half of its answer left on average, and so accompanies half of an answer of the same length:
  both are delayed for that half. In a fleet without queues nothing else keeps sessions with a common prefix from
  gathering where it is. As queues grow, the open requests that `behind` counts take its place: answers under way are
  not priced twice.
"""

from __future__ import annotations

from operator import mul

from deployments.routing.policies.prices import Others, price_at_once, price_one_by_one
from deployments.routing.policy import Choice, Situation
from deployments.routing.table import FEW_ROWS
from deployments.routing.work import Work, work_of

WEIGHT = 1.0
"""Of the price for others. From 0.3 to 3 the results are the same (docs/decisions.md)."""
MEMORY = 0.98
"""Of the running mean, for each request."""
LONG_QUEUE = 4.0
"""Typical requests at each replica from which on a replica's own requests count in full."""
OVERLAP = 0.5
"""Share of an answer in which it and one that is under way when it comes run side by side."""
DELAYED = 2
"""Both of them."""

MOST_AGAIN = 0.9
"""Of what is driven out, counted as asked for again."""


class Seconds:
    """State: the typical request of the model."""

    uses_keys, uses_prefixes = True, True

    def __init__(self, weight: float = WEIGHT, few: int = FEW_ROWS) -> None:
        """`few`: rows up to which prices are made one by one."""
        self.weight, self.few = weight, few
        self._typical: Work | None = None

    def choose(self, situation: Situation) -> Choice:
        others = self._others(situation)
        price = price_one_by_one if situation.table.rows <= self.few else price_at_once
        priced = price(situation, others, situation.output_tokens * OVERLAP * DELAYED * (1.0 - others.own_share))
        least = work_of(situation.request, priced.least_uncached)
        # As work and not as seconds: what is known of the rates changes faster than the requests do.
        self._typical = least if self._typical is None else _moved(self._typical, least)
        return Choice(priced.row, priced.first_token_s, priced.rows, priced.terms)

    def _others(self, situation: Situation) -> Others:
        """How many requests are taken to wait for this one, wherever it goes."""
        table, count = situation.table, situation.count
        fleet = [count / speed for speed in (table.speeds @ situation.room).tolist()]
        queue = own_share = again = 0.0
        backlog_s = sum(map(mul, (table.booked_work.T @ situation.room).tolist(), fleet)) / count
        if backlog_s > 0.0 and self._typical is not None:
            queue = backlog_s / sum(map(mul, self._typical, fleet))
            own_share = min(1.0, queue / LONG_QUEUE)
        if table.displacing and situation.asked_again:
            again = min(situation.asked_again, MOST_AGAIN)
            again /= 1 - again
        return Others(fleet, queue, own_share, again, self.weight * urgency(situation.request.priority))


def urgency(priority: int) -> float:
    """How much of the others' price a request pays: half as much with each step of priority, twice with each below."""
    return float(2.0 ** -max(-8, min(8, priority)))


def _moved(typical: Work, least: Work) -> Work:
    return [MEMORY * usual + (1 - MEMORY) * amount for usual, amount in zip(typical, least, strict=True)]
