"""Who works on which sample: each is lent until it is confirmed, and lent again where its holder falls silent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

Item = tuple[int, int]
"""A sample's place in the query and its index in the data set."""


class LeaseQueue:
    """Samples in order, lent to holders. A holder keeps its lease by asking, at least every `lease_s` seconds.

    A sample may be handed out twice, where a holder was slow rather than dead; `confirm` accepts it once.
    """

    def __init__(self, lease_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._waiting: deque[Item] = deque()
        self._lent: dict[str, dict[int, Item]] = {}
        self._heard: dict[str, float] = {}
        self._open: set[int] = set()
        self._closed = False

    def put(self, items: Sequence[Item]) -> None:
        """Appends samples; their places are new ones."""
        self._open.update(place for place, _ in items)
        self._waiting.extend(items)

    def close(self) -> None:
        """No more samples will come."""
        self._closed = True

    @property
    def finished(self) -> bool:
        return self._closed and not self._open

    @property
    def holders(self) -> int:
        """Holders that are not overdue."""
        return len(self._heard)

    def take(self, holder: str, most: int) -> list[Item]:
        """Up to `most` samples for `holder`, and its lease anew. Asking for none only renews."""
        self._heard[holder] = self._clock()
        self._reclaim()
        lent = self._lent.setdefault(holder, {})
        taken: list[Item] = []
        while self._waiting and len(taken) < most:
            item = self._waiting.popleft()
            if item[0] in self._open:
                lent[item[0]] = item
                taken.append(item)
        return taken

    def confirm(self, places: Iterable[int]) -> list[int]:
        """Those of the places that are answered for the first time."""
        first = [place for place in dict.fromkeys(places) if place in self._open]
        self._open.difference_update(first)
        for lent in self._lent.values():
            for place in first:
                lent.pop(place, None)
        return first

    def release(self, holder: str) -> None:
        """Takes back what `holder` has, in front of everything else."""
        self._heard.pop(holder, None)
        lent = self._lent.pop(holder, {})
        self._waiting.extendleft(item for item in reversed(lent.values()) if item[0] in self._open)

    def _reclaim(self) -> None:
        overdue = self._clock() - self._lease_s
        for holder in [holder for holder, heard in self._heard.items() if heard < overdue]:
            self.release(holder)
