"""What is booked on each replica of a model, as columns: a choice reads all of them at once, however many there are.

A row belongs to one incarnation of a replica, from its arrival until it has left and nothing is open on it. Columns
with several numbers a row are kept feature by feature, so that a choice multiplies whole features. Single numbers are
read and written through memoryviews, which takes a third of the time that numpy takes for it.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from deployments.routing.work import FEATURES, Floats, Work

FIRST_ROWS = 8
FEW_ROWS = 16
"""Rows up to which plain Python is quicker than numpy: a choice looks at each of them."""

Ints = npt.NDArray[np.int64]

FLAGS = ("present", "leaving")
COUNTS = (
    *("limit", "block_tokens", "open_requests", "open_tokens", "waiting_requests"),
    *("others_open", "others_tokens", "others_waiting", "running", "queued"),
)
NUMBERS = (
    *("waiting_since", "token_s", "_step_s", "trust", "kv_use", "displaces", "ejected_until"),
    *("all_open", "all_waiting", "room", "closed"),
)
WORKS = ("waiting_work", "others_work", "booked_work", "head_work")

UNSEEN: Work = (inf, *(0.0,) * (len(FEATURES) - 1))
"""Work that takes for ever: of a request whose first token will not be seen."""

UNUSED: dict[str, float] = {"waiting_since": inf, "trust": 1.0, "block_tokens": 1, "closed": inf}
"""What columns hold in a row that nobody has used; 0 where they are not named."""


class Rates(Protocol):
    """Speeds of some rows, which are written into the table only when somebody reads them."""

    def show(self) -> None: ...


class ReplicaTable:
    """Columns of `rows` rows each; a row that no replica has is neither `present` nor has anything open.

    Attributes:
        limit: sequences that may be open at once.
        block_tokens: tokens of one block of its prefix cache: only whole ones are reused.
        open_requests, open_tokens: booked here and not ended, each sequence as one; prompt tokens of those.
        waiting_requests, waiting_work: of those, the ones whose first token has not come; their features.
        waiting_since: since when the replica has been at work on them without news; infinite where none waits.
        head_work: of the oldest of them; infinite where its first token will not be seen, or none waits.
        others_*: what other gateways have open here.
        all_open, all_waiting, booked_work: here and at other gateways.
        room, closed: 1 and 0 where one more request may go; 0 and infinite where not.
        theta, token_s, step_s: the rates (`rates`), by columns; `step_s` is what one more sequence adds to a step, 0
            until an answer has told how long steps are.
        trust: what share of a predicted prefix the engine has been seen to have.
        running, queued, kv_use: the engine's own word, at its last heartbeat.
        displaces: blocks that its full cache gives up for each that it takes in (`PrefixIndex.displaces`).
        ejected_until: until then others are preferred, on the caller's clock.
        with_room: how many rows have room.
    """

    present: npt.NDArray[np.bool_]
    leaving: npt.NDArray[np.bool_]
    limit: Ints
    block_tokens: Ints
    open_requests: Ints
    open_tokens: Ints
    waiting_requests: Ints
    others_open: Ints
    others_tokens: Ints
    others_waiting: Ints
    running: Ints
    queued: Ints
    waiting_since: Floats
    token_s: Floats
    _step_s: Floats
    trust: Floats
    kv_use: Floats
    displaces: Floats
    ejected_until: Floats
    all_open: Floats
    all_waiting: Floats
    room: Floats
    closed: Floats
    waiting_work: Floats
    others_work: Floats
    booked_work: Floats
    head_work: Floats

    def __init__(self) -> None:
        self.rows = 0
        self.with_room = 0
        self.displacing = 0
        """Rows whose cache gives something up."""
        self._ejected: set[int] = set()
        self._block_sizes: Counter[int] = Counter()
        self._stale: dict[Rates, None] = {}
        self._theta = np.ones((len(FEATURES), 0))
        self._speeds = np.ones((len(FEATURES), 0))
        self._grow(FIRST_ROWS)

    # Rows

    def new_row(self) -> int:
        """A row of which nothing is booked, marked as taken."""
        free = np.flatnonzero(~self.present)
        if not free.size:
            self._grow(2 * self.rows)
            free = np.flatnonzero(~self.present)
        row = int(free[0])
        for name in (*FLAGS, *COUNTS, *NUMBERS):
            getattr(self, name)[row] = UNUSED.get(name, 0)
        for name in WORKS:
            getattr(self, name)[row] = 0.0
        self.head_work[row, 0] = inf
        self.present[row] = True
        return row

    def free_row(self, row: int) -> None:
        self.present[row] = False
        size = int(self.block_tokens[row])
        self._block_sizes[size] -= 1
        if self._block_sizes[size] <= 0:
            del self._block_sizes[size]
        self.set_displaces(row, 0.0)
        self._ejected.discard(row)
        self._show(row)

    def set_size(self, row: int, limit: int, block_tokens: int) -> None:
        self.limit[row], self.block_tokens[row] = limit, block_tokens
        self._block_sizes[block_tokens] += 1
        self._show(row)

    def common_block(self) -> int:
        """Tokens of a block, where all replicas have blocks of one size; else 1."""
        return next(iter(self._block_sizes)) if len(self._block_sizes) == 1 else 1

    def leave(self, row: int) -> None:
        """Nothing new goes there."""
        self.leaving[row] = True
        self._show(row)

    def eject(self, row: int, until: float) -> None:
        self.ejected_until[row] = until
        self._ejected.add(row)
        self._show(row)

    def end_ejections(self, now: float) -> None:
        """Lets in again those whose time has come."""
        for row in [row for row in self._ejected if self.ejected_until[row] <= now] if self._ejected else ():
            self._ejected.discard(row)
            self._show(row)

    def set_displaces(self, row: int, displaces: float) -> None:
        self.displacing += int(displaces > 0) - int(self.displaces[row] > 0)
        self.displaces[row] = displaces

    # What is open

    def open(self, row: int, sequences: int, tokens: int) -> None:
        """Counts a request in, or out with negative numbers."""
        self._open_at[row] += sequences
        self._tokens_at[row] += tokens
        self._show(row)

    def enter(self, row: int, work: Work) -> None:
        """One more waits for its first token."""
        self._waiting_at[row] += 1
        own, booked, others, at = self._own_work_at, self._booked_work_at, self._others_work_at, row
        for amount in work:
            own[at] = left = own[at] + amount
            booked[at] = left + others[at]
            at += self.rows
        self._show(row)

    def leave_queue(self, row: int, work: Work, waiting: int) -> None:
        """It waits no more; so many still do."""
        self._waiting_at[row] = waiting
        own, booked, others, at = self._own_work_at, self._booked_work_at, self._others_work_at, row
        for amount in work:
            # Sums of floats drift: an idle replica holds exactly nothing.
            own[at] = left = max(own[at] - amount, 0.0) if waiting else 0.0
            booked[at] = left + others[at]
            at += self.rows
        if not waiting:
            self._since_at[row] = inf
        self._show(row)

    def set_head(self, row: int, work: Work | None) -> None:
        """The oldest one that waits; None where none does, or its first token will not be seen."""
        head, at = self._head_at, row
        for amount in UNSEEN if work is None else work:
            head[at] = amount
            at += self.rows

    def set_since(self, row: int, since: float) -> None:
        """The replica has been at work without news since then."""
        self._since_at[row] = since

    def set_others(self, rows: Ints, open_: Ints, tokens: Ints, waiting: Ints, work: Floats) -> None:
        """What other gateways have open on these n rows, all of them together; `work` (features, n)."""
        self.others_open[rows], self.others_tokens[rows], self.others_waiting[rows] = open_, tokens, waiting
        self.others_work.T[:, rows] = work
        self.booked_work.T[:, rows] = self.waiting_work.T[:, rows] + work
        self.all_open[rows] = self.open_requests[rows] + open_
        self.all_waiting[rows] = self.waiting_requests[rows] + waiting
        has_room = (self.all_open[rows] < self.limit[rows]) & self.present[rows] & ~self.leaving[rows]
        if self._ejected:
            has_room &= ~np.isin(rows, list(self._ejected))
        self.with_room += int(has_room.sum()) - int(self.room[rows].sum())
        self.room[rows] = has_room
        self.closed[rows] = np.where(has_room, 0.0, inf)

    def decoding(self, row: int) -> float:
        """Answers under way there, those of other gateways too."""
        return self._all_open_at[row] - self._all_waiting_at[row]

    # Rates

    def rates_changed(self, rates: Rates) -> None:
        self._stale[rates] = None

    def set_rates(self, rows: Ints, theta: Floats, step_s: float) -> None:
        """`theta` (features, n) of these n rows; `step_s` of all of them."""
        self._theta[:, rows] = theta
        self._speeds[:, rows] = 1.0 / theta
        self._step_s[rows] = step_s

    @property
    def theta(self) -> Floats:
        """(rows, features) seconds of each feature, each replica at its own speed."""
        self._show_rates()
        return self._theta.T

    @property
    def step_s(self) -> Floats:
        """(rows) what one more sequence adds to a decode step."""
        self._show_rates()
        return self._step_s

    @property
    def speeds(self) -> Floats:
        """(features, rows) what each replica does in a second."""
        self._show_rates()
        return self._speeds

    # For choices

    def waiting_seconds(self, rows: Ints, now: float) -> Floats:
        """Seconds until each replica has done the first tokens that it owes."""
        return self.waiting_and_slowness(rows, now)[0]

    def waiting_and_slowness(self, rows: Ints | slice, now: float) -> tuple[Floats, Floats | None]:
        """Seconds until each replica has done the first tokens that it owes: booked work less likely progress; and how
        many times as slow as its rates it must be now: 1, or more where a first token is overdue; None where none is.

        Progress is the time that has passed, but no more than the oldest one's own seconds where its first token would
        have been seen. Two of these may pass before anything is made of it: a prompt is computed beside answers under
        way.
        """
        theta = self.theta.T[:, rows]
        left: Floats = np.add.reduce(self.booked_work.T[:, rows] * theta, 0)
        passed_s = now - self.waiting_since[rows]
        if passed_s[passed_s.argmax()] <= 0.0:
            return left, None
        np.maximum(passed_s, 0.0, passed_s)
        head_s: Floats = np.add.reduce(self.head_work.T[:, rows] * theta, 0)
        slower: Floats = passed_s / head_s
        slower -= 1.0
        if slower[slower.argmax()] <= 1.0:
            left -= np.minimum(passed_s, head_s)
            return np.maximum(left, 0.0, left), None
        np.maximum(slower, 1.0, slower)
        progressed = np.maximum(left - np.minimum(passed_s, head_s), 0.0)
        return np.where(slower > 1.0, left * slower - head_s, progressed), slower

    # Inside

    def _show(self, row: int) -> None:
        """What follows from a row's counts."""
        open_requests = self._open_at[row] + self._others_open_at[row]
        self._all_open_at[row] = open_requests
        self._all_waiting_at[row] = self._waiting_at[row] + self._others_waiting_at[row]
        has_room = (
            open_requests < self._limit_at[row]
            and self._present_at[row]
            and not self._leaving_at[row]
            and row not in self._ejected
        )
        if has_room != (self._closed_at[row] == 0.0):
            self._room_at[row], self._closed_at[row] = (1.0, 0.0) if has_room else (0.0, inf)
            self.with_room += 1 if has_room else -1

    def _show_rates(self) -> None:
        while self._stale:
            self._stale.popitem()[0].show()

    def _grow(self, rows: int) -> None:
        old = self.rows
        for names, kind in ((FLAGS, np.bool_), (COUNTS, np.int64), (NUMBERS, np.float64)):
            for name in names:
                column = np.full(rows, UNUSED.get(name, 0), kind)
                if old:
                    column[:old] = getattr(self, name)
                setattr(self, name, column)
        for name in WORKS:
            column = np.zeros((len(FEATURES), rows))
            if name == "head_work":
                column[0] = inf
            if old:
                column[:, :old] = getattr(self, name).T
            setattr(self, name, column.T)
        for name in ("_theta", "_speeds"):
            column = np.ones((len(FEATURES), rows))
            column[:, :old] = getattr(self, name)
            setattr(self, name, column)
        self.rows = rows
        self._views()

    def _views(self) -> None:
        self._open_at, self._tokens_at = self.open_requests.data, self.open_tokens.data
        self._waiting_at, self._limit_at = self.waiting_requests.data, self.limit.data
        self._others_open_at, self._others_waiting_at = self.others_open.data, self.others_waiting.data
        self._present_at, self._leaving_at = self.present.data, self.leaving.data
        self._all_open_at, self._all_waiting_at = _singles(self.all_open), _singles(self.all_waiting)
        self._room_at, self._closed_at = _singles(self.room), _singles(self.closed)
        self._since_at = _singles(self.waiting_since)
        self._own_work_at = _singles(self.waiting_work.T.reshape(-1))
        self._others_work_at = _singles(self.others_work.T.reshape(-1))
        self._booked_work_at = _singles(self.booked_work.T.reshape(-1))
        self._head_at = _singles(self.head_work.T.reshape(-1))


def _singles(column: Floats) -> memoryview[float]:
    return cast("memoryview[float]", column.data)
