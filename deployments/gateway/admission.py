"""One model's door: books a replica for each request, in order of arrival, behind a queue of bounded length."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.gateway.errors import ApiError
from deployments.routing import Booking, Policy, Replica, Work

SUSPECT_S = 2.0
"""How long a replica that refused a connection is passed over. A dead one is gone from the registry by then."""

RATE_MEMORY = 64


@dataclass(eq=False)
class _Waiter:
    work: Work
    excluded: frozenset[str]
    granted: asyncio.Future[Booking]


class Admission:
    """Bookings for the replicas of one model. Belongs to one event loop."""

    def __init__(self, policy: Policy, max_queue: float, queue_timeout_s: float | None) -> None:
        self.policy, self.max_queue, self.queue_timeout_s = policy, max_queue, queue_timeout_s
        self.replicas: list[Replica] = []
        self._waiting: deque[_Waiter] = deque()
        self._finished: deque[float] = deque(maxlen=RATE_MEMORY)
        self._retry_suspects: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def set_replicas(self, replicas: list[Replica]) -> None:
        """Takes the replicas that are there now; those that went serve what they have and get nothing new."""
        for gone in set(self.replicas) - set(replicas):
            gone.leaving = True
        self.replicas = replicas
        self._grant()

    def has_other(self, excluded: Iterable[str]) -> bool:
        """Whether a replica is known beside the excluded incarnations."""
        return bool({replica.incarnation for replica in self.replicas} - set(excluded))

    async def book(self, work: Work, excluded: frozenset[str] = frozenset()) -> Booking:
        """Waits for a replica with room that is not in `excluded`: incarnations that failed this request, and get it
        again only where there is no other.

        Raises ApiError 429 where the queue is full, 503 where none came within the queue's timeout.
        """
        if not self._waiting and (booking := self._try(work, excluded)):
            return booking
        if len(self._waiting) >= self.max_queue:
            raise ApiError(
                429,
                f"{len(self._waiting)} requests already wait for this model; try again later",
                retry_after_s=self._drain_time(),
            )
        waiter = _Waiter(work, excluded, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._grant()
        try:
            async with asyncio.timeout(self.queue_timeout_s):
                return await waiter.granted
        except TimeoutError:
            self._drop(waiter)
            raise ApiError(
                503,
                f"no replica of this model had room within {self.queue_timeout_s:.0f} s; try again later",
                code="no_replica",
                retry_after_s=self._drain_time(),
            ) from None
        except asyncio.CancelledError:
            self._drop(waiter)
            raise

    def release(self, booking: Booking) -> None:
        """Ends a booking and lets the next request in."""
        if booking.open:
            booking.release()
            self._finished.append(time.monotonic())
            self._grant()

    def suspect(self, replica: Replica) -> None:
        """Passes the replica over for a while: a connection to it has failed."""
        replica.suspect_until = time.monotonic() + SUSPECT_S

    def _try(self, work: Work, excluded: frozenset[str]) -> Booking | None:
        now = time.monotonic()
        if excluded and not self.has_other(excluded):
            excluded = frozenset()
        candidates = [r for r in self.replicas if r.incarnation not in excluded and r.has_room(now)]
        return self.policy.choose(work, candidates).book(work) if candidates else None

    def _grant(self) -> None:
        """Books for as many waiting requests as there is room, first come first served."""
        if not self._waiting:
            return
        passed_over: deque[_Waiter] = deque()
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.granted.done():
                continue
            if booking := self._try(waiter.work, waiter.excluded):
                waiter.granted.set_result(booking)
                continue
            passed_over.append(waiter)
            if not waiter.excluded:
                break  # no room at all: nobody behind it can have any
        self._waiting.extendleft(reversed(passed_over))
        self._wake_for_suspects()

    def _wake_for_suspects(self) -> None:
        """With requests waiting, looks again when a suspect's time is over: no other event may come."""
        now = time.monotonic()
        ends = [replica.suspect_until for replica in self.replicas if replica.suspect_until > now]
        if self._waiting and ends and self._retry_suspects is None:
            loop = asyncio.get_running_loop()
            self._retry_suspects = loop.call_later(min(ends) - now + 0.01, self._look_again)

    def _look_again(self) -> None:
        self._retry_suspects = None
        self._grant()

    def _drop(self, waiter: _Waiter) -> None:
        if waiter.granted.done() and not waiter.granted.cancelled():
            self.release(waiter.granted.result())
        elif waiter in self._waiting:
            self._waiting.remove(waiter)
            self._grant()

    def _drain_time(self) -> float:
        """Seconds until the queue of now is served, at the rate of the last completions; at least 1."""
        if len(self._finished) < 2:
            return 1.0
        rate = (len(self._finished) - 1) / max(1e-3, time.monotonic() - self._finished[0])
        return min(60.0, max(1.0, len(self._waiting) / rate))
