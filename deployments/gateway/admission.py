"""One model's door: books a replica for each request, in order of urgency and arrival, behind a bounded queue."""

from __future__ import annotations

import asyncio
import time
from bisect import insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from deployments.gateway.errors import ApiError
from deployments.routing import Booking, Replica, Request, Router

SUSPECT_S = 2.0
"""How long a replica that refused a connection is passed over. A dead one is gone from the registry by then."""

RATE_MEMORY = 64


@dataclass(order=True)
class _Waiter:
    priority: int
    """Negative is more urgent: waiters are in the order in which they are served."""
    number: int
    request: Request = field(compare=False)
    excluded: frozenset[str] = field(compare=False)
    granted: asyncio.Future[Booking] = field(compare=False)


class Admission:
    """Bookings for the replicas of one model. Belongs to one event loop."""

    def __init__(self, router: Router, max_queue: float, queue_timeout_s: float | None) -> None:
        self.router, self.max_queue, self.queue_timeout_s = router, max_queue, queue_timeout_s
        self._waiting: list[_Waiter] = []
        self._numbers = count()
        self._finished: deque[float] = deque(maxlen=RATE_MEMORY)
        self._suspects: dict[str, float] = {}
        self._retry_suspects: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def has_other(self, excluded: Iterable[str]) -> bool:
        """Whether a replica is known beside the excluded incarnations."""
        return bool(self.router.replicas.keys() - set(excluded))

    async def book(self, request: Request, excluded: frozenset[str] = frozenset()) -> Booking:
        """Waits for a replica with room that is not in `excluded`: incarnations that failed this request, and get it
        again only where there is no other.

        Raises ApiError 429 where the queue is full, 503 where none came within the queue's timeout.
        """
        if not self._waiting and (booking := self._try(request, excluded)):
            return booking
        if len(self._waiting) >= self.max_queue:
            raise ApiError(
                429,
                f"{len(self._waiting)} requests already wait for this model; try again later",
                retry_after_s=self._drain_time(),
            )
        granted: asyncio.Future[Booking] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(-request.priority, next(self._numbers), request, excluded, granted)
        insort(self._waiting, waiter)
        self.grant()
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

    def first_token(self, booking: Booking) -> None:
        self.router.first_token(booking, time.monotonic())

    def finish(self, booking: Booking, output_tokens: int | None = None, cached_tokens: int | None = None) -> None:
        """Ends a booking whose answer is whole, with the engine's own counts where it told them."""
        if booking.open:
            self.router.finish(booking, time.monotonic(), output_tokens, cached_tokens)
            self._ended()

    def release(self, booking: Booking) -> None:
        """Ends a booking, however it went, and lets the next request in."""
        if booking.open:
            self.router.release(booking, time.monotonic())
            self._ended()

    def suspect(self, replica: Replica) -> None:
        """Passes the replica over for a while: a connection to it has failed."""
        until = time.monotonic() + SUSPECT_S
        self._suspects[replica.incarnation] = until
        self.router.suspect(replica, until)

    def grant(self) -> None:
        """Books for as many waiting requests as there is room, the first in the queue first."""
        if not self._waiting:
            return
        passed_over: list[_Waiter] = []
        waiting, self._waiting = self._waiting, []
        for place, waiter in enumerate(waiting):
            if waiter.granted.done():
                continue
            if booking := self._try(waiter.request, waiter.excluded):
                waiter.granted.set_result(booking)
                continue
            passed_over.append(waiter)
            if not waiter.excluded:
                # No room at all: nobody behind it can have any.
                passed_over += waiting[place + 1 :]
                break
        self._waiting = passed_over
        self._wake_for_suspects()

    def _try(self, request: Request, excluded: frozenset[str]) -> Booking | None:
        return self.router.place(request, time.monotonic(), excluded)

    def _ended(self) -> None:
        self._finished.append(time.monotonic())
        self.grant()

    def _wake_for_suspects(self) -> None:
        """With requests waiting, looks again when a suspect's time is over: no other event may come."""
        now = time.monotonic()
        self._suspects = {incarnation: until for incarnation, until in self._suspects.items() if until > now}
        if self._waiting and self._suspects and self._retry_suspects is None:
            loop = asyncio.get_running_loop()
            self._retry_suspects = loop.call_later(min(self._suspects.values()) - now + 0.01, self._look_again)

    def _look_again(self) -> None:
        self._retry_suspects = None
        self.grant()

    def _drop(self, waiter: _Waiter) -> None:
        if waiter.granted.done() and not waiter.granted.cancelled():
            self.release(waiter.granted.result())
        elif waiter in self._waiting:
            self._waiting.remove(waiter)
            self.grant()

    def _drain_time(self) -> float:
        """Seconds until the queue of now is served, at the rate of the last completions; at least 1."""
        if len(self._finished) < 2:
            return 1.0
        rate = (len(self._finished) - 1) / max(1e-3, time.monotonic() - self._finished[0])
        return min(60.0, max(1.0, len(self._waiting) / rate))
