"""Means, rates and maxima over a window of time that slides."""

from __future__ import annotations

from collections import deque


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
    """Of a counter that only grows, over the last `window_s` seconds; one that falls has begun anew."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, float]] = deque()

    def take(self, at: float, total: float) -> float:
        """Takes the count at `at`, and tells how much it has grown in a second since the window began."""
        seen = self._seen
        if seen and total < seen[-1][1]:
            seen.clear()
        seen.append((at, total))
        while len(seen) > 2 and seen[1][0] <= at - self._window_s:
            seen.popleft()
        (begin, before), span = seen[0], max(at - seen[0][0], self._window_s)
        return (total - before) / span if at > begin else 0.0


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
