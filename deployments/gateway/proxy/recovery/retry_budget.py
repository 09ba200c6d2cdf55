"""How many retries may be under way at once, over all models: Envoy's retry budget.

Where engines fail because they have too much to do, retries make it worse. So at most a fifth of the requests that are
active in this process may be retries, and a few in any case, so that a quiet gateway can retry too.
"""

from __future__ import annotations

SHARE = 0.2
"""Of the active requests, that may be retries."""

LEAST_RETRIES = 3
"""Retries that may be under way however few requests are active."""


class RetryBudget:
    """Counts active requests and those of them that are retries. Belongs to one event loop."""

    def __init__(self, share: float = SHARE, least: int = LEAST_RETRIES) -> None:
        self.share, self.least = share, least
        self.active = self.retrying = 0
        self.refused = 0
        """Retries that did not take place for lack of budget, since the start."""

    def has_room(self) -> bool:
        """Whether one more retry may begin."""
        return self.retrying < max(self.least, self.share * self.active)


class RetryClaim:
    """One active request's part of the budget, from its start to its end. It holds at most one retry."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._is_retry = False
        self._is_open = True
        budget.active += 1

    def take(self) -> bool:
        """Makes the request a retry. Returns False where the budget has no room for it."""
        if self._is_retry:
            return True
        if not self._budget.has_room():
            self._budget.refused += 1
            return False
        self._is_retry = True
        self._budget.retrying += 1
        return True

    def release(self) -> None:
        """Ends the request. A second time does nothing."""
        if self._is_open:
            self._is_open = False
            self._budget.active -= 1
            self._budget.retrying -= self._is_retry
