"""The routing policy protocol. One file a policy; the registry is `policies`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
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
        room, closed: of all rows: 1 and 0 where a candidate is, 0 and infinite where none is.
        count: of the candidates, never 0. They have no order that means anything.
        cached: of all rows: tokens of the prompt that each is expected to have in its prefix cache; None where that is
            nothing anywhere, the policy does not use prefixes, or there is nothing to key on.
        chance: what decides between equals.
        asked_again: share of what full caches give up that is asked for again.
        output_tokens: what answers of this model have had on average: a request's own is not known.
        explained: whether the terms of the choice are wanted.
    """

    now: float
    request: Request
    table: ReplicaTable
    room: Floats
    closed: Floats
    count: int
    cached: Floats | None
    chance: random.Random
    output_tokens: float
    get_row_names: Callable[[], tuple[str, ...]]
    asked_again: float = 0.0
    explained: bool = False

    @cached_property
    def rows(self) -> Ints:
        """(n) the candidates."""
        rows: Ints = self.room.nonzero()[0]
        return rows

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names of the replicas in all rows of the table."""
        return self.get_row_names()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(n) of the candidates."""
        names = self.row_names
        return tuple(names[row] for row in self.rows.tolist())

    @cached_property
    def cached_tokens(self) -> Floats:
        """(n) of the prompt that each is expected to have in its prefix cache."""
        return np.zeros(self.count) if self.cached is None else self.cached[self.rows]

    @cached_property
    def own_s(self) -> Floats:
        """(n) seconds of the request, each at the candidate's own speed, as it is now."""
        work = features(self.request, self.cached_tokens)
        own: Floats = np.vecdot(work, self.table.theta[self.rows])
        slower = self._waiting_and_slowness[1]
        return own if slower is None else own * slower

    @property
    def waiting_s(self) -> Floats:
        """(n) seconds of work booked before it."""
        return self._waiting_and_slowness[0]

    @cached_property
    def _waiting_and_slowness(self) -> tuple[Floats, Floats | None]:
        return self.table.waiting_and_slowness(self.rows, self.now)

    @cached_property
    def open_requests(self) -> Floats:
        """(n) requests booked on each candidate and not ended, those of other gateways too."""
        open_requests: Floats = self.table.all_open[self.rows]
        return open_requests

    @property
    def waiting_tokens(self) -> Floats:
        """(n) uncached prompt tokens of those whose first token has not come."""
        tokens: Floats = self.table.booked_work[self.rows, FEATURES.index("kilo-tokens")] * 1e3
        return tokens


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate, and why.

    Attributes:
        row: of the candidate in the table.
        first_token_s: expected seconds to the first token there; None where the policy does not say.
        rows, terms: the candidates that were compared, and by name a number for each of them, for those who ask why;
            empty where the choice is not explained.
    """

    row: int
    first_token_s: float | None = None
    rows: Sequence[int] = ()
    terms: Mapping[str, Sequence[float]] = field(default_factory=dict)


def chosen(situation: Situation, place: int, terms: Mapping[str, Floats] | None = None) -> Choice:
    """The candidate at a place of `situation.rows`, and one number for each of them by name."""
    if not situation.explained:
        return Choice(int(situation.rows[place]))
    listed = {name: values.tolist() for name, values in (terms or {}).items()}
    return Choice(int(situation.rows[place]), None, situation.rows.tolist(), listed)


class Policy(Protocol):
    """Chooses among the replicas of one model, of all its pools. One instance a model."""

    uses_keys: bool
    """Whether it looks at a request's keys, so that prompts need to be tokenised for it."""
    uses_prefixes: bool
    """Whether `cached` needs to be looked up for it."""

    def choose(self, situation: Situation) -> Choice:
        """The candidate that gets the request. May remember what it chose: every choice is booked."""
