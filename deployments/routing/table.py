"""What is booked on each replica of a model, as columns: a choice reads all of them at once, however many there are.

A row belongs to one incarnation of a replica, from its arrival until it has left and nothing is open on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.routing.work import FEATURES, Floats

FIRST_ROWS = 8

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What one gateway has open on one replica. `open_requests`: each sequence counts as one."""

    open_requests: int
    open_tokens: int
    waiting_requests: int
    waiting_work: tuple[float, ...]


class ReplicaTable:
    """Columns of `rows` rows each; a row that no replica has is neither `present` nor has anything open.

    Attributes:
        limit: sequences that may be open at once.
        block_tokens: tokens of one block of its prefix cache: only whole ones are reused.
        open_requests, open_tokens: booked here and not ended, each sequence as one; prompt tokens of those.
        waiting_requests, waiting_work: of those, the ones whose first token has not come; their features.
        waiting_since: since when the replica has been at work on them without news; 0 where none waits.
        head_work, head_seen: of the oldest of them; whether its first token will be seen.
        others_*: what other gateways have open here.
        theta, token_s, step_s: the rates (`Rates`), by columns; `step_s` is what one more sequence adds to a step.
        trust: what share of a predicted prefix the engine has been seen to have.
        running, queued, kv_use: the engine's own word, at its last heartbeat.
        displaces: blocks that its full cache gives up for each that it takes in (`PrefixIndex.displaces`).
        ejected_until: until then others are preferred, on the caller's clock.
    """

    def __init__(self) -> None:
        rows = FIRST_ROWS
        self.present = np.zeros(rows, bool)
        self.leaving = np.zeros(rows, bool)
        self.limit = np.zeros(rows, np.int64)
        self.block_tokens = np.ones(rows, np.int64)
        self.open_requests = np.zeros(rows, np.int64)
        self.open_tokens = np.zeros(rows, np.int64)
        self.waiting_requests = np.zeros(rows, np.int64)
        self.waiting_work = np.zeros((rows, len(FEATURES)))
        self.waiting_since = np.zeros(rows)
        self.head_work = np.zeros((rows, len(FEATURES)))
        self.head_seen = np.zeros(rows, bool)
        self.others_open = np.zeros(rows, np.int64)
        self.others_tokens = np.zeros(rows, np.int64)
        self.others_waiting = np.zeros(rows, np.int64)
        self.others_work = np.zeros((rows, len(FEATURES)))
        self.theta = np.zeros((rows, len(FEATURES)))
        self.token_s = np.zeros(rows)
        self.step_s = np.zeros(rows)
        self.trust = np.ones(rows)
        self.running = np.zeros(rows, np.int64)
        self.queued = np.zeros(rows, np.int64)
        self.kv_use = np.zeros(rows)
        self.displaces = np.zeros(rows)
        self.ejected_until = np.zeros(rows)

    @property
    def rows(self) -> int:
        return len(self.present)

    def new_row(self) -> int:
        """A row of zeros, marked as taken."""
        free = np.flatnonzero(~self.present)
        if not free.size:
            self._double()
            free = np.flatnonzero(~self.present)
        row = int(free[0])
        for column in vars(self).values():
            column[row] = 0
        self.trust[row] = self.block_tokens[row] = 1
        self.present[row] = True
        return row

    def free_row(self, row: int) -> None:
        self.present[row] = False

    def with_room(self, now: float) -> Ints:
        """Rows that can take one more request. One of many sequences may exceed the limit; then no other follows."""
        room = self.present & ~self.leaving & (self.ejected_until <= now)
        room &= self.open_requests + self.others_open < self.limit
        rows: Ints = room.nonzero()[0]
        return rows

    def waiting_seconds(self, rows: Ints, now: float) -> Floats:
        """Seconds until each replica has done the first tokens that it owes."""
        return self.waiting_and_slowness(rows, now, self.theta.take(rows, 0), self.booked_work(rows))[0]

    def waiting_and_slowness(self, rows: Ints, now: float, theta: Floats, booked: Floats) -> tuple[Floats, Floats]:
        """Seconds until each replica has done the first tokens that it owes: booked work less likely progress; and how
        many times as slow as its rates it must be now: 1, or more where a first token is overdue. `theta` and `booked`
        (n, features) are those of `rows`.

        Progress is the time that has passed, but no more than the oldest one's own seconds where its first token would
        have been seen. Two of these may pass before anything is made of it: a prompt is computed beside answers under
        way.
        """
        booked_s: Floats = np.vecdot(booked, theta)
        waiting = self.waiting_requests[rows] > 0
        if not np.count_nonzero(waiting):
            return booked_s, np.ones(len(rows))
        passed_s = np.maximum(now - self.waiting_since[rows], 0.0) * waiting
        seen = self.head_seen[rows] & waiting
        head_s = np.where(seen, np.vecdot(self.head_work.take(rows, 0), theta), np.inf)
        slower: Floats = np.maximum(passed_s / head_s - 1.0, 1.0)
        left: Floats = np.maximum(booked_s - np.minimum(passed_s, head_s), 0.0)
        if np.count_nonzero(late := slower > 1.0):
            left = np.where(late, booked_s * slower - head_s, left)
        return left, slower

    def booked_work(self, rows: Ints) -> Floats:
        """(n, features) that waits on each replica, booked here and by other gateways."""
        work: Floats = self.waiting_work.take(rows, 0) + self.others_work.take(rows, 0)
        return work

    def _double(self) -> None:
        for name, column in vars(self).items():
            setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        self.block_tokens[self.block_tokens == 0] = 1
