"""Means, rates and maxima over a window of time that slides."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

REMEMBERED_S = 600.0
"""How long a source that is not heard of is remembered, in seconds."""


class RecentMean:
    """Of a quantity that keeps its value until it changes, over the last `window_s` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._changes: deque[tuple[float, float]] = deque()

    def take(self, at: float, value: float) -> float:
        """Takes the value from `at` on, and tells the mean up to then; the value itself where nothing was before."""
        changes = self._changes
        changes.append((at, value))
        begin = at - self._window_s
        while len(changes) > 1 and changes[1][0] <= begin:
            changes.popleft()
        total = since = 0.0
        for (start, held), (end, _) in zip(changes, list(changes)[1:], strict=False):
            start = max(start, begin)
            total, since = total + held * (end - start), since + end - start
        return total / since if since else value


class RecentRate:
    """Of a counter that only grows, over the last `window_s` seconds; one that falls has begun anew, from zero."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, float]] = deque()
        """When, and how much it had grown since the first count."""
        self._total: float | None = None

    def take(self, at: float, total: float) -> float:
        """Takes the count at `at`, and tells how much it has grown in a second since the window began."""
        seen, former = self._seen, self._total
        self._total = total
        growth = 0.0 if former is None else total - former if total >= former else total
        grown = (seen[-1][1] if seen else 0.0) + growth
        seen.append((at, grown))
        while len(seen) > 2 and seen[1][0] <= at - self._window_s:
            seen.popleft()
        (begin, before), span = seen[0], max(at - seen[0][0], self._window_s)
        return (grown - before) / span if at > begin else 0.0


class SummedRate:
    """The rates of several sources' counters, summed. A sum of counters has no rate: sources come, go and begin anew.

    What a source had counted before it was first heard of is not growth. One that is missing for a while adds nothing
    meanwhile, and is known again when it comes back within `REMEMBERED_S`.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._sources: dict[str, RecentRate] = {}
        self._heard: dict[str, float] = {}

    def take(self, at: float, totals: Mapping[str, float]) -> float:
        """Takes the counts of the sources that are there at `at`, and tells their growth in a second."""
        rate = 0.0
        for source, total in totals.items():
            self._heard[source] = at
            rate += self._sources.setdefault(source, RecentRate(self._window_s)).take(at, total)
        for source in [source for source, heard in self._heard.items() if heard < at - REMEMBERED_S]:
            del self._heard[source], self._sources[source]
        return rate


class RecentMax:
    """The largest value of the last `window_s` seconds: amortised constant time a value."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._falling: deque[tuple[float, float]] = deque()
        """Each later one is smaller: whatever is followed by a larger one can never be the maximum again."""

    def take(self, at: float, value: float) -> float:
        falling = self._falling
        while falling and falling[-1][1] <= value:
            falling.pop()
        falling.append((at, value))
        while falling[0][0] < at - self._window_s:
            falling.popleft()
        return falling[0][1]
