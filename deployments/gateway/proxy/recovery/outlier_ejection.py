"""Outlier ejection: replicas that fail requests are passed over for a while (Envoy's outlier detection).

A replica is ejected

- at once where no connection can be made to it, its engine has died, or it is frozen;
- after `CONSECUTIVE` failures in a row of other kinds (5xx that another replica did not give, broken connections, too
  long without a byte);
- where `ERROR_SHARE` of its answers within `WINDOW_S` failed, of at least `LEAST_ANSWERS`.

Each ejection lasts twice as long as the one before; `CALM_S` without one halves it again. When it ends, one request is
the probe: its success brings the replica back, its failure ejects it again. At most half of a model's replicas are
ejected, over all of its pools, so that the last one never is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from deployments.routing import Replica

FIRST_EJECTION_S = 2.0
MOST_EJECTION_S = 300.0
CALM_S = 60.0
"""Seconds after an ejection after which the next one lasts half as long."""

CONSECUTIVE = 5
ERROR_SHARE = 0.5
LEAST_ANSWERS = 20
WINDOW_S = 30.0


class Failure(StrEnum):
    """How a replica failed a request. The value is the `reason` of `gateway_ejections_total`."""

    UNREACHABLE = "unreachable"
    """No connection: the replica has not seen the request."""
    DIED = "engine_died"
    """Its connection broke within an answer, and its health check says that the engine has ended."""
    LOST = "connection_lost"
    """Its connection broke, but the engine lives."""
    FROZEN = "frozen"
    """It does not answer its health check either."""
    TIMED_OUT = "timed_out"
    ERROR = "5xx"
    WITHDRAWN = "withdrawn"
    """It left the fleet before the request was sent."""


EJECTS_AT_ONCE = frozenset({Failure.UNREACHABLE, Failure.DIED, Failure.FROZEN})


@dataclass(eq=False)
class _Record:
    """What is known of one incarnation. `ejected_until` is None where it is in use, infinite during a probe."""

    replica: Replica
    consecutive: int = 0
    answers: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=256))
    ejections: int = 0
    last_end: float = 0.0
    ejected_until: float | None = None
    probe: object = None
    """The booking that is the probe."""


class OutlierEjection:
    """The ejected replicas of one model. Knows no clock: `now` comes from the caller, in seconds.

    `eject`: makes the router pass a replica over until a time; a time that has passed brings it back.
    """

    def __init__(self, replicas: Mapping[str, Replica], eject: Callable[[Replica, float], None]) -> None:
        """`replicas`: by incarnation, those of now, kept up to date by their owner."""
        self._replicas, self._eject = replicas, eject
        self._records: dict[str, _Record] = {}
        self._avoided: dict[str, float] = {}
        """Incarnations that are passed over without being ejected -> until when."""
        self.counts: dict[tuple[str, str], int] = {}
        """(pool, reason) -> ejections since the start."""

    def ejected(self) -> list[str]:
        """Incarnations that are ejected or being probed."""
        return [i for i, record in self._records.items() if record.ejected_until is not None]

    def next_end(self, now: float) -> float | None:
        """When the next replica is no longer passed over; None where that will not end by itself."""
        self._end_avoiding(now)
        ends = [r.ejected_until for r in self._records.values() if r.ejected_until not in (None, math.inf)]
        return min((end for end in [*ends, *self._avoided.values()] if end is not None), default=None)

    def avoid(self, replica: Replica, now: float, until: float) -> None:
        """Passes a replica over until then that may be frozen. It counts among those that may be ejected at once."""
        self._end_avoiding(now)
        incarnation = replica.incarnation
        record = self._records.get(incarnation)
        if incarnation not in self._replicas or (record and record.ejected_until is not None):
            return
        others = {*self.ejected(), *self._avoided} - {incarnation}
        if len(others) + 1 <= len(self._replicas) // 2:
            self._avoided[incarnation] = until
            self._eject(replica, until)

    def has_better(self, replica: Replica) -> bool:
        """Whether a replica beside this one is not passed over."""
        return bool(self._replicas.keys() - {*self.ejected(), *self._avoided, replica.incarnation})

    def is_probing(self, replica: Replica) -> bool:
        record = self._records.get(replica.incarnation)
        return record is not None and record.ejected_until == math.inf

    def sent(self, replica: Replica, booking: object) -> None:
        """A request goes there. Where its ejection has just ended, this one is the probe, and no other follows yet."""
        record = self._records.get(replica.incarnation)
        if record and record.ejected_until is not None:
            record.ejected_until, record.probe = math.inf, booking
            self._eject(replica, math.inf)

    def succeeded(self, replica: Replica, now: float) -> None:
        record = self._record(replica)
        if record is None:
            return
        record.consecutive = 0
        record.answers.append((now, True))
        if record.ejected_until == math.inf:
            self._bring_back(record, now)

    def failed(self, replica: Replica, failure: Failure, now: float) -> bool:
        """Counts a failure. Returns whether the replica is ejected for it."""
        record = self._record(replica)
        if record is None or failure is Failure.WITHDRAWN:
            return False
        was_probe = record.ejected_until == math.inf
        if record.ejected_until is not None and not was_probe:
            return False  # sent before its ejection
        record.consecutive += 1
        record.answers.append((now, False))
        self._avoided.pop(replica.incarnation, None)
        is_outlier = (
            was_probe
            or failure in EJECTS_AT_ONCE
            or record.consecutive >= CONSECUTIVE
            or self._error_share(record, now) >= ERROR_SHARE
        )
        if not is_outlier or (not was_probe and len(self.ejected()) + 1 > len(self._replicas) // 2):
            return False
        calm = int(max(0.0, now - record.last_end) // CALM_S)
        record.ejections = max(0, record.ejections - calm)
        lasts_s = min(MOST_EJECTION_S, FIRST_EJECTION_S * 2.0 ** min(record.ejections, 16))
        record.ejections += 1
        record.last_end = record.ejected_until = now + lasts_s
        record.answers.clear()
        self._eject(replica, now + lasts_s)
        key = (replica.pool, failure.value)
        self.counts[key] = self.counts.get(key, 0) + 1
        return True

    def ended(self, replica: Replica, booking: object, now: float) -> None:
        """A request there ended. Where it was the probe and nothing was found out, the next one is."""
        record = self._records.get(replica.incarnation)
        if record and record.ejected_until == math.inf and record.probe is booking:
            record.ejected_until = now
            self._eject(replica, now)

    def replicas_changed(self, now: float) -> None:
        """Forgets replicas that left, and brings back what would be more than half of those that stay."""
        if not self._records:
            return
        for incarnation in self._records.keys() - self._replicas.keys():
            del self._records[incarnation]
        ejected = sorted((self._records[i] for i in self.ejected()), key=lambda record: record.ejected_until or 0)
        for record in ejected[: max(0, len(ejected) - len(self._replicas) // 2)]:
            self._bring_back(record, now)

    def _end_avoiding(self, now: float) -> None:
        if self._avoided:
            self._avoided = {i: until for i, until in self._avoided.items() if until > now}

    def _record(self, replica: Replica) -> _Record | None:
        if replica.incarnation not in self._replicas:
            return None
        return self._records.setdefault(replica.incarnation, _Record(replica))

    def _bring_back(self, record: _Record, now: float) -> None:
        record.ejected_until, record.consecutive = None, 0
        self._eject(record.replica, now)

    def _error_share(self, record: _Record, now: float) -> float:
        recent = [ok for at, ok in record.answers if now - at <= WINDOW_S]
        return recent.count(False) / len(recent) if len(recent) >= LEAST_ANSWERS else 0.0
