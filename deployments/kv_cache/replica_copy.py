"""A gateway's side of the cache reports of one replica: what to apply, what to ask for again, when to give up.

Pure, as `replay_protocol` is: it takes what arrives and what time it is (seconds of any monotonic clock), and answers
with steps, to be taken in order before it is called again. A missed report is never asked for: a snapshot makes good
whatever was missed, and only what differs is changed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.reports import Header, Report, SnapshotPart

HELD_REPORTS = 1_000
"""Reports kept back while a snapshot is under way. With more than that it is asked for anew."""

MOST_PARTS = 4_096
"""Parts of one snapshot: some sixteen million keys."""

SILENT_S = 1.5
"""A reporter says several times a second that it lives. One that is silent for so long is not believed."""

ANSWER_TIMEOUT_S = 2.0
"""Between a request for a snapshot and the next part of it."""

LOST_S = 10.0
"""What is known of a replica is forgotten after so long without word of its reporter."""


@dataclass(frozen=True, slots=True)
class Change:
    """The next report in order."""

    report: Report


@dataclass(frozen=True, slots=True)
class Load:
    """The replica holds exactly what is in these parts."""

    parts: tuple[SnapshotPart, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is known of the replica."""


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    """Ask the reporter for a snapshot. Parts in answer to earlier requests are passed over."""

    request: int


Step = Change | Load | Forget | RequestSnapshot


class ReplicaCopy:
    """One replica's cache as reported. Begin with `start`. `keying` is the fingerprint of this gateway's own keys."""

    def __init__(self, keying: bytes) -> None:
        self._keying = keying
        self._reporter: bytes | None = None
        self._sequence = 0
        self._reporter_state = FeedState.CATCHING_UP
        self._request = 0
        self._deadline: float | None = None
        self._parts: list[SnapshotPart] = []
        self._held: deque[Report] = deque(maxlen=HELD_REPORTS)
        self._heard = 0.0
        self._silent = True
        self._lost = False
        self.foreign_keys = False
        """Whether the reporter's keys are of another secret: they are of no use here."""

    @property
    def state(self) -> FeedState:
        if self._lost or self.foreign_keys:
            return FeedState.DEGRADED
        behind = self._reporter is None or self._deadline is not None or self._silent
        return FeedState.CATCHING_UP if behind else self._reporter_state

    def start(self, now: float) -> list[Step]:
        """The connections are being made."""
        self._heard = now
        return self._ask(now)

    def report(self, report: Report, now: float) -> list[Step]:
        """A report came."""
        steps = self._hear(report.header, now)
        if steps is not None:
            return steps
        if self._deadline is not None:
            self._held.append(report)
            return []
        return self._follow(report, now)

    def snapshot_part(self, part: SnapshotPart, now: float) -> list[Step]:
        """A part of a snapshot came."""
        if self._deadline is None or part.request != self._request or self.foreign_keys:
            return []
        if part.part != len(self._parts) or part.parts > MOST_PARTS:
            return self._ask(now)
        self._heard, self._deadline = now, now + ANSWER_TIMEOUT_S
        self._parts.append(part)
        if len(self._parts) < part.parts:
            return []
        if part.header.keying != self._keying:
            return self._hear(part.header, now) or []
        parts, self._parts = tuple(self._parts), []
        self._deadline, self._silent, self._lost = None, False, False
        self._reporter, self._sequence = part.header.reporter, part.header.sequence
        self._reporter_state = part.header.state
        held, steps = list(self._held), [Load(parts)]
        self._held.clear()
        return steps + [step for report in held if self._deadline is None for step in self._follow(report, now)]

    def disconnected(self, now: float) -> list[Step]:
        """The reporter was lost. What it said in the meantime is unknown."""
        self._silent = True
        return self._ask(now)

    def unreadable(self, now: float) -> list[Step]:
        """A report could not be read: what it changed is unknown."""
        return self._ask(now)

    def tick(self, now: float) -> list[Step]:
        """To be called several times a second."""
        steps: list[Step] = []
        if now - self._heard >= SILENT_S:
            self._silent = True
        if now - self._heard >= LOST_S and not self._lost:
            self._lost = True
            steps.append(Forget())
        if self._deadline is not None and now >= self._deadline and not self.foreign_keys:
            steps += self._ask(now)
        return steps

    def _hear(self, header: Header, now: float) -> list[Step] | None:
        """Steps, where this header settles what to do; None where what it comes with is to be looked at."""
        self._heard, self._silent = now, False
        if header.keying != self._keying:
            if self.foreign_keys:
                return []
            self.foreign_keys, self._reporter, self._deadline = True, None, None
            return [Forget()]
        if self.foreign_keys:
            self.foreign_keys = False
            return self._ask(now)
        if self._deadline is None and (header.reporter != self._reporter or self._lost):
            return self._ask(now)
        return None

    def _follow(self, report: Report, now: float) -> list[Step]:
        header = report.header
        if header.reporter != self._reporter or report.base > self._sequence:
            return self._ask(now)
        if header.sequence < self._sequence:
            return []  # it was under way when the snapshot was made
        self._reporter_state = header.state
        if header.sequence == self._sequence:
            return []
        if report.base < self._sequence:
            return self._ask(now)
        self._sequence = header.sequence
        return [Change(report)]

    def _ask(self, now: float) -> list[Step]:
        self._request += 1
        self._deadline = now + ANSWER_TIMEOUT_S
        self._parts.clear()
        self._held.clear()
        return [RequestSnapshot(self._request)]
