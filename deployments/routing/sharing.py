"""What other gateways have open on the same replicas: each tells of what has changed, and now and then of everything.

All numbers are absolute, so a message that comes twice does no harm, and one that is lost is made good by the next that
tells everything; a gateway that is gone is forgotten with all it had. Work travels as whole numbers: sums of them are
exact, and what has ended leaves nothing behind. A message costs a few passes over columns, however many gateways there
are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deployments.routing.booking import Replica
from deployments.routing.table import Ints, ReplicaTable
from deployments.routing.work import FEATURES

ROWS = 3 + len(FEATURES)
UNIT = 2.0**-30
"""Of work, as it travels."""

MOST = 2**40
"""A number above this is a mistake, and is cut to it: sums of many gateways stay within 64 bits."""


@dataclass(frozen=True, slots=True)
class OpenBookings:
    """What one gateway has open on some replicas.

    Attributes:
        incarnations: (n) of the replicas.
        numbers: (3 + features, n) open requests, each sequence as one; their prompt tokens; of those the requests whose
            first token has not come, and each feature of their work in `UNIT`.
        everything: whether nothing is open on any other replica; else the others are as they were.
    """

    incarnations: Sequence[str]
    numbers: Ints
    everything: bool


class Sharing:
    """Keeps the table's `others_*` columns: the sums over all other gateways."""

    def __init__(self, table: ReplicaTable) -> None:
        self._table = table
        self._told: dict[str, Ints] = {}
        """Gateway -> (3 + features, rows) what it has open, by rows of the table here."""
        self._sums = _nothing(table.rows)
        self._published = _nothing(table.rows)

    def changed(self, replicas: Mapping[str, Replica], everything: bool) -> OpenBookings:
        """What this gateway has open where that has changed since the last time; or `everything`."""
        table = self._table
        numbers = _nothing(table.rows)
        numbers[0], numbers[1], numbers[2] = table.open_requests, table.open_tokens, table.waiting_requests
        np.multiply(table.waiting_work.T, 1 / UNIT, numbers[3:], casting="unsafe")
        before = _wide(self._published, table.rows)
        self._published = numbers
        matters = (numbers != (0 if everything else before)).any(0)
        rows = {replica.row: incarnation for incarnation, replica in replicas.items()}
        chosen = [row for row in matters.nonzero()[0].tolist() if row in rows]
        return OpenBookings([rows[row] for row in chosen], numbers[:, chosen], everything)

    def set(self, gateway: str, bookings: OpenBookings, replicas: Mapping[str, Replica]) -> None:
        """Takes what another gateway tells. Replicas that are not known here are left out."""
        known = [place for place, incarnation in enumerate(bookings.incarnations) if incarnation in replicas]
        rows = np.array([replicas[bookings.incarnations[place]].row for place in known], np.int64)
        told = _wide(self._told.get(gateway, _nothing(0)), self._table.rows)
        new = _nothing(self._table.rows) if bookings.everything else told.copy()
        new[:, rows] = np.clip(bookings.numbers[:, known], 0, MOST)
        if bookings.everything and not rows.size:
            self._told.pop(gateway, None)
        else:
            self._told[gateway] = new
        self._take((new != told).any(0).nonzero()[0], new - told)

    def forget(self, row: int) -> None:
        """The row gets another replica."""
        for told in self._told.values():
            told[:, row : row + 1] = 0
        changes = _nothing(self._table.rows)
        changes[:, row] = -_wide(self._sums, self._table.rows)[:, row]
        self._take(np.array([row]), changes)

    def _take(self, rows: Ints, changes: Ints) -> None:
        if not rows.size:
            return
        self._sums = _wide(self._sums, self._table.rows)
        self._sums += changes
        sums = self._sums[:, rows]
        self._table.set_others(rows, sums[0], sums[1], sums[2], sums[3:].astype(np.float64) * UNIT)


def _nothing(rows: int) -> Ints:
    return np.zeros((ROWS, rows), np.int64)


def _wide(numbers: Ints, rows: int) -> Ints:
    """The same with as many columns as the table has rows, which grow only."""
    if numbers.shape[1] == rows:
        return numbers
    wide = _nothing(rows)
    wide[:, : numbers.shape[1]] = numbers
    return wide
