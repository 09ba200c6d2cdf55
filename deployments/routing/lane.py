"""One replica's requests whose first token has not come, and what their coming tells of its speed."""

from __future__ import annotations

import numpy as np

from deployments.routing.rates import Rates
from deployments.routing.table import ReplicaTable
from deployments.routing.work import FEATURES, Floats

OBSERVED_SHARE = 0.25
"""First tokens that come together are one observation: none is made before this share of the expected time is over."""


class Waiting:
    """A request's place in a lane: its work, and whether its first token will be seen."""

    __slots__ = ("seen", "work")

    def __init__(self, work: Floats, seen: bool) -> None:
        self.work, self.seen = work, seen


class Lane:
    """Keeps one row of the table in step with what waits there.

    A replica at work is observed from one first token to the next: the work of those that came, in the time since the
    last observation, or since it fell to work after being idle.
    """

    def __init__(self, table: ReplicaTable, row: int, rates: Rates) -> None:
        self.table, self.row, self.rates = table, row, rates
        self._waiting: dict[Waiting, None] = {}
        self._done = np.zeros(len(FEATURES))
        self._observed_at = 0.0
        self._show_rates()

    def enter(self, waiting: Waiting, now: float) -> None:
        if not self._waiting:
            self._observed_at = now
            self.table.waiting_since[self.row] = now
        self._waiting[waiting] = None
        self._show_waiting()

    def first_token(self, waiting: Waiting, at: float) -> None:
        """Its work is done. `at` may lie in the past where the moment was not seen, but follows from later ones."""
        if waiting not in self._waiting:
            return
        del self._waiting[waiting]
        self._done += waiting.work
        seconds = at - self._observed_at
        if seconds > OBSERVED_SHARE * float(self.rates.theta @ self._done):
            self.rates.observe(self._done, seconds)
            self._done[:] = 0.0
            self._observed_at = at
            self._show_rates()
        self.table.waiting_since[self.row] = at
        self._show_waiting()

    def leave(self, waiting: Waiting, now: float) -> None:
        """It ended without a first token, or nobody can say when that was: no observation."""
        if waiting in self._waiting:
            del self._waiting[waiting]
            # Work that was done for it would make the next ones look slow.
            self._observed_at = max(self._observed_at, now)
            self._show_waiting()

    def observe_token(self, seconds: float) -> None:
        self.rates.observe_token(seconds)
        self._show_rates()

    def _show_waiting(self) -> None:
        table, row = self.table, self.row
        count = len(self._waiting)
        table.waiting_requests[row] = count
        if not count:
            # Sums of floats drift: an idle replica holds exactly nothing. And what came together with nothing
            # after it is no observation any more.
            table.waiting_work[row] = 0.0
            table.head_s[row] = 0.0
            table.waiting_since[row] = 0.0
            self._done[:] = 0.0
            return
        table.waiting_work[row] = sum(waiting.work for waiting in self._waiting)
        head = next(iter(self._waiting))
        # The first tokens of those that stream are seen: until then no more than the oldest one's work is done.
        table.head_s[row] = float(self.rates.theta @ head.work) if head.seen else np.inf

    def _show_rates(self) -> None:
        table, row, rates = self.table, self.row, self.rates
        table.theta[row] = rates.theta
        table.token_s[row] = rates.token_s
        table.step_s[row] = rates.seed.sequence_step_s * rates.scale
