"""One replica's requests whose first token has not come, and what their coming tells of its speed."""

from __future__ import annotations

from deployments.routing.rates import PoolRates
from deployments.routing.table import ReplicaTable
from deployments.routing.work import FEATURES, Work

TOGETHER_SHARE = 0.25
"""First tokens that follow each other within this share of the expected time were computed together."""

NOTHING: Work = (0.0,) * len(FEATURES)


class Waiting:
    """A request's place in a lane: its work, and whether its first token will be seen."""

    __slots__ = ("seen", "work")

    def __init__(self, work: Work, seen: bool) -> None:
        self.work, self.seen = work, seen


class Lane:
    """Keeps one row of the table in step with what waits there.

    A replica at work is observed from one group of first tokens to the next: their work, in the time since the group
    before, or since it fell to work after being idle.
    """

    def __init__(self, table: ReplicaTable, row: int, rates: PoolRates) -> None:
        self.table, self.row, self.rates = table, row, rates
        self._waiting: dict[Waiting, None] = {}
        self._done: Work = NOTHING
        self._done_at = 0.0
        self._observed_at = 0.0

    def enter(self, waiting: Waiting, now: float) -> None:
        if not self._waiting:
            self._observed_at = now
            self.table.set_since(self.row, now)
            self.table.set_head(self.row, waiting.work if waiting.seen else None)
        self._waiting[waiting] = None
        self.table.enter(self.row, waiting.work)

    def first_token(self, waiting: Waiting, at: float) -> None:
        """Its work is done. `at` may lie in the past where the moment was not seen, but follows from later ones."""
        if waiting not in self._waiting:
            return
        if at - self._done_at > TOGETHER_SHARE * self.rates.seconds_of(self.row, waiting.work):
            self._observe()
        self._take_out(waiting)
        self._done = [done + amount for done, amount in zip(self._done, waiting.work, strict=True)]
        self._done_at = max(at, self._done_at, self._observed_at)
        if self._waiting:
            self.table.set_since(self.row, self._done_at)
        else:
            self._observe()
            self._done = NOTHING

    def leave(self, waiting: Waiting, now: float) -> None:
        """It ended without a first token, or nobody can say when that was: no observation."""
        if waiting in self._waiting:
            self._take_out(waiting)
            # Work that was done for it would make the next ones look slow.
            self._observe()
            self._observed_at = max(self._observed_at, now)
            if not self._waiting:
                self._done = NOTHING

    def _observe(self) -> None:
        seconds = self._done_at - self._observed_at
        if seconds > 0 and self._done[0]:
            self.rates.observe(self.row, self._done, seconds)
            self._observed_at = self._done_at
            self._done = NOTHING

    def _take_out(self, waiting: Waiting) -> None:
        was_head = next(iter(self._waiting)) is waiting
        del self._waiting[waiting]
        self.table.leave_queue(self.row, waiting.work, len(self._waiting))
        if was_head:
            head = next(iter(self._waiting), None)
            self.table.set_head(self.row, head.work if head and head.seen else None)
