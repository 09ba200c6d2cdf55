"""The driver's book of a test: LoadGen's response ids, and which samples are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from loadtest.client import Outcome
from loadtest.leases import Item


class Ledger:
    """Places are numbered 0, 1, 2, ... over all queries of the test."""

    def __init__(self) -> None:
        self._responses: list[int] = []
        self.outcomes: dict[int, Outcome] = {}

    @property
    def issued(self) -> int:
        return len(self._responses)

    @property
    def open(self) -> int:
        return len(self._responses) - len(self.outcomes)

    def issue(
        self, responses: Sequence[int], indexes: Sequence[int], work: Callable[[int], float], data_set: int
    ) -> list[Item]:
        """Books a query and gives its samples in the order to work them off: longest first within each pass.

        A query is a row of passes over the `data_set` samples; MLPerf forbids to sort across their boundaries.
        """
        first = len(self._responses)
        self._responses.extend(responses)
        items = [(first + offset, index) for offset, index in enumerate(indexes)]
        ordered: list[Item] = []
        for start in range(0, len(items), data_set):
            # Stable, so that samples of equal size keep LoadGen's order.
            ordered += sorted(items[start : start + data_set], key=lambda item: -work(item[1]))
        return ordered

    def admit(self, outcomes: Iterable[Outcome]) -> list[tuple[int, Outcome]]:
        """Those outcomes that are the first for their sample, with its response id. A later one is dropped."""
        fresh = []
        for outcome in outcomes:
            if outcome.place not in self.outcomes:
                self.outcomes[outcome.place] = outcome
                fresh.append((self._responses[outcome.place], outcome))
        return fresh
