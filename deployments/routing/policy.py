"""The routing policy protocol. One file a policy; the registry is `policies`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from deployments.routing.table import Ints, ReplicaTable
from deployments.routing.work import FEATURES, Floats, Request, features


@dataclass
class Situation:
    """What a choice is made from: a request, and the rows of the table that may take it.

    Attributes:
        rows: (n) candidates, never empty, each with room, in no order that means anything.
        row_names: names of the replicas in all rows of the table.
        cached_tokens: (n) of the prompt that each is expected to have in its prefix cache; zeros where the policy does
            not use prefixes or there is nothing to key on.
        chance: what decides between equals.
        asked_again: share of what full caches give up that is asked for again.
        output_tokens: what answers of this model have had on average: a request's own is not known.
    """

    now: float
    request: Request
    table: ReplicaTable
    rows: Ints
    row_names: tuple[str, ...]
    cached_tokens: Floats
    chance: random.Random
    output_tokens: float
    asked_again: float = 0.0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(n) of the candidates."""
        return tuple(self.row_names[row] for row in self.rows.tolist())

    @cached_property
    def work(self) -> Floats:
        """(n, features) that the request would be on each candidate."""
        return features(self.request, self.cached_tokens)

    @cached_property
    def own_s(self) -> Floats:
        """(n) seconds of that work, each at the candidate's own speed, as it is now."""
        own: Floats = np.vecdot(self.work, self.theta) * self._waiting_and_slowness[1]
        return own

    @cached_property
    def theta(self) -> Floats:
        """(n, features) seconds of each feature on each candidate."""
        rates: Floats = self.table.theta.take(self.rows, 0)
        return rates

    @property
    def waiting_s(self) -> Floats:
        """(n) seconds of work booked before it."""
        return self._waiting_and_slowness[0]

    @cached_property
    def _waiting_and_slowness(self) -> tuple[Floats, Floats]:
        return self.table.waiting_and_slowness(self.rows, self.now, self.theta, self.booked_work)

    @cached_property
    def open_requests(self) -> Floats:
        """(n) requests booked on each candidate and not ended, those of other gateways too."""
        table = self.table
        open_requests: Floats = (table.open_requests[self.rows] + table.others_open[self.rows]).astype(np.float64)
        return open_requests

    @cached_property
    def waiting_requests(self) -> Floats:
        """(n) of those, the ones whose first token has not come."""
        table = self.table
        waiting: Floats = (table.waiting_requests[self.rows] + table.others_waiting[self.rows]).astype(np.float64)
        return waiting

    @cached_property
    def booked_work(self) -> Floats:
        """(n, features) of those that wait."""
        return self.table.booked_work(self.rows)

    @property
    def waiting_tokens(self) -> Floats:
        """(n) uncached prompt tokens of those that wait."""
        tokens: Floats = self.booked_work[:, FEATURES.index("kilo-tokens")] * 1e3
        return tokens


@dataclass(frozen=True, slots=True)
class Choice:
    """`place` among the candidates, and the terms (n each) that led there, by name, for those who ask why."""

    place: int
    terms: Mapping[str, Floats] = field(default_factory=dict)


class Policy(Protocol):
    """Chooses among the replicas of one model, of all its pools. One instance a model."""

    uses_keys: bool
    """Whether it looks at a request's keys, so that prompts need to be tokenised for it."""
    uses_prefixes: bool
    """Whether `cached_tokens` need to be looked up for it."""

    def choose(self, situation: Situation) -> Choice:
        """The candidate that gets the request. May remember what it chose: every choice is booked."""
