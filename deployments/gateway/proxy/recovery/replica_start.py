"""How long requests wait for a model that has no replica yet: as long as its start may take."""

from __future__ import annotations


class ReplicaStart:
    """Follows whether a model has any replica. Knows no clock: `now` comes from the caller, in seconds.

    `queue_timeout_s`: for room on a replica; None: for ever. `start_timeout_s`: for the start of the first one.
    """

    def __init__(self, queue_timeout_s: float | None, start_timeout_s: float) -> None:
        self.queue_timeout_s = queue_timeout_s
        self.start_timeout_s = max(start_timeout_s, queue_timeout_s or 0.0)
        self.is_empty = True
        self._first_at = 0.0
        self._last_start_s: float | None = None

    def observe(self, has_replicas: bool, now: float, oldest_arrival: float | None) -> bool:
        """Takes what there is now. `oldest_arrival`: of the requests that wait. Returns whether deadlines change."""
        if has_replicas is not self.is_empty:
            return False
        self.is_empty = not has_replicas
        if has_replicas:
            self._first_at = now
            if oldest_arrival is not None:
                self._last_start_s = now - oldest_arrival
        return True

    def deadline(self, arrived: float) -> float | None:
        """Until when a request waits: for the first replica, then for room. None: for ever."""
        if self.queue_timeout_s is None:
            return None
        if self.is_empty:
            return arrived + self.start_timeout_s
        return max(arrived, self._first_at) + self.queue_timeout_s

    def left_s(self, now: float, oldest_arrival: float | None) -> float:
        """Expected seconds until the first replica is there: as the last start took, else as long as it may take."""
        expected_s = self.start_timeout_s if self._last_start_s is None else self._last_start_s
        return max(1.0, (now if oldest_arrival is None else oldest_arrival) + expected_s - now)
