"""One model's admission: books a replica for each request, behind a bounded queue that is fair between tenants.

Tenants that wait share the model's slots by deficit round robin in seconds of work, weighted by their priority. Within
a tenant the more urgent requests go first, then the earlier ones.

The queue's places are shared evenly by the tenants that wait: where it is full, a request of a tenant with less than
its share takes the place of the least urgent request of the tenant that has most.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from deployments.gateway.admission.deficit_round_robin import DeficitRoundRobin, Entry
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.identity.tenants import ANYONE, Tenant
from deployments.gateway.proxy.recovery.outlier_ejection import Failure, OutlierEjection
from deployments.gateway.proxy.recovery.replica_start import ReplicaStart
from deployments.routing import Booking, Replica, Request, Router

RATE_MEMORY = 64
ANSWER_MEMORY = 0.9
"""Share of a tenant's usual answer length that stays with each new answer."""


@dataclass(eq=False)
class _Waiter:
    """A request in the queue. `timeout` ends its waiting."""

    request: Request
    excluded: frozenset[str]
    tenant: Tenant
    arrived: float
    granted: asyncio.Future[Booking]
    timeout: asyncio.Timeout | None = None


class Admission:
    """Bookings for the replicas of one model. Belongs to one event loop."""

    def __init__(
        self,
        router: Router,
        max_queue: float,
        queue_timeout_s: float | None,
        start_timeout_s: float = 0.0,
    ) -> None:
        """`start_timeout_s`: how long a replica's start may take. Where there is none yet, requests wait as long."""
        self.router, self.max_queue, self.queue_timeout_s = router, max_queue, queue_timeout_s
        self.start = ReplicaStart(queue_timeout_s, start_timeout_s)
        self.ejection = OutlierEjection(router.replicas, router.eject)
        self._queue: DeficitRoundRobin[_Waiter] = DeficitRoundRobin()
        self._numbers = count()
        self._noted = 0
        """Of `router.changes`."""
        self._finished: deque[float] = deque(maxlen=RATE_MEMORY)
        self._tenants: dict[Booking, Tenant] = {}
        self._answer_tokens: dict[str, float] = {}
        self._look_again_at: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def waiting_by_tenant(self) -> dict[str, int]:
        return self._queue.waiting()

    def has_other(self, excluded: Iterable[str]) -> bool:
        """Whether a replica is known beside the excluded incarnations."""
        return bool(self.router.replicas.keys() - set(excluded))

    async def book(self, request: Request, excluded: frozenset[str] = frozenset(), tenant: Tenant = ANYONE) -> Booking:
        """Waits for a replica with room that is not in `excluded`: incarnations that failed this request, and get it
        again only where there is no other.

        Raises ApiError 429 where the queue is full, 503 where none came within the queue's timeout.
        """
        self._note_replicas()
        is_free = not self._queue and tenant.quota.concurrency.has_room()
        if is_free and (booking := self._try(request, excluded, tenant)):
            return booking
        self._make_place(tenant)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(request, excluded, tenant, time.monotonic(), loop.create_future())
        order = (-request.priority, next(self._numbers))
        entry = self._queue.push(tenant.name, tenant.weight, self._price_s(request, tenant), order, waiter)
        self.grant()
        try:
            async with asyncio.timeout(None) as waiter.timeout:
                self._set_timeout(waiter)
                return await waiter.granted
        except TimeoutError:
            self._drop(entry)
            raise self._timed_out(waiter) from None
        except BaseException:
            self._drop(entry)
            raise

    def first_token(self, booking: Booking) -> None:
        self.router.first_token(booking, time.monotonic())

    def finish(self, booking: Booking, output_tokens: int | None = None, cached_tokens: int | None = None) -> None:
        """Ends a booking whose answer is whole, with the engine's own counts where it reports them."""
        if booking.open:
            if output_tokens and (tenant := self._tenants.get(booking)):
                each = output_tokens / booking.request.sequences
                usual = self._answer_tokens.get(tenant.name, each)
                self._answer_tokens[tenant.name] = ANSWER_MEMORY * usual + (1 - ANSWER_MEMORY) * each
            self.router.finish(booking, time.monotonic(), output_tokens, cached_tokens)
            self._ended(booking)

    def release(self, booking: Booking) -> None:
        """Ends a booking, however it went, and lets the next request in."""
        if booking.open:
            self.router.release(booking, time.monotonic())
            self._ended(booking)

    def succeeded(self, replica: Replica) -> None:
        """The replica has begun an answer that is no failure of its own."""
        self.ejection.succeeded(replica, time.monotonic())

    def failed(self, replica: Replica, failure: Failure) -> None:
        """The replica has failed a request. Where that makes it an outlier it is passed over for a while."""
        self.ejection.failed(replica, failure, time.monotonic())

    def avoid(self, replica: Replica, seconds: float) -> None:
        """For so long new requests go elsewhere, where there is another replica for them: this one may be frozen."""
        now = time.monotonic()
        self.ejection.avoid(replica, now, now + seconds)

    def has_better(self, replica: Replica) -> bool:
        """Whether a replica beside this one is in use."""
        return self.ejection.has_better(replica)

    def is_probing(self, replica: Replica) -> bool:
        """Whether the replica is on trial after its ejection."""
        return self.ejection.is_probing(replica)

    def grant(self) -> None:
        """Books for as many waiting requests as there is room, in the tenants' turns."""
        self._note_replicas()
        if not self._queue:
            return
        passed_over: set[int] = set()

        def may_go(head: Entry[_Waiter]) -> bool:
            return head.item.tenant.quota.concurrency.has_room()

        while entry := self._queue.next(may_go, passed_over):
            waiter = entry.item
            if waiter.granted.done():
                self._queue.remove(entry)
            elif booking := self._try(waiter.request, waiter.excluded, waiter.tenant):
                self._queue.take(entry)
                waiter.granted.set_result(booking)
            elif waiter.excluded:
                passed_over.add(id(entry))  # another may find room where this one has failed
            else:
                break  # no room at all
        for head in self._queue.heads():
            concurrency = head.item.tenant.quota.concurrency
            if not concurrency.has_room():
                concurrency.when_room(self.grant)
        self._wake_when_ejections_end()

    def _try(self, request: Request, excluded: frozenset[str], tenant: Tenant) -> Booking | None:
        booking = self.router.place(request, time.monotonic(), excluded)
        if booking:
            self.ejection.sent(booking.replica, booking)
            tenant.quota.concurrency.enter(request.sequences)
            self._tenants[booking] = tenant
        return booking

    def _ended(self, booking: Booking) -> None:
        now = time.monotonic()
        self._finished.append(now)
        self.ejection.ended(booking.replica, booking, now)
        tenant = self._tenants.pop(booking, None)
        if tenant:
            tenant.quota.concurrency.leave(booking.request.sequences)
        self.grant()

    def _price_s(self, request: Request, tenant: Tenant) -> float:
        """Seconds for which the request is expected to hold slots; the same wherever it will go."""
        answer_tokens = self._answer_tokens.get(tenant.name, self.router.output_tokens)
        return self.router.slot_seconds(request, answer_tokens) or float(request.sequences)

    def _make_place(self, tenant: Tenant) -> None:
        """A place in the queue for the tenant. Raises ApiError 429 where it has its share of a full queue."""
        if len(self._queue) < self.max_queue:
            return
        waiting = self._queue.waiting()
        largest = max(waiting, key=lambda name: (waiting[name], name != tenant.name), default=tenant.name)
        if largest == tenant.name or waiting.get(tenant.name, 0) + 1 > waiting[largest] - 1:
            raise self._full(len(self._queue))
        last = max(entry for entry in self._queue.entries() if entry.tenant == largest)
        self._queue.remove(last)
        if not last.item.granted.done():
            last.item.granted.set_exception(self._full(len(self._queue) + 1))

    def _full(self, waiting: int) -> ApiError:
        return ApiError(
            429,
            f"{waiting} requests already wait for this model; try again later",
            retry_after_s=self._start_left_s() if self.start.is_empty else self._drain_time(),
        )

    # Replicas that come and go

    def _note_replicas(self) -> None:
        """Follows whether there is any replica, and sets the timeouts of those who wait by it."""
        if self._noted == self.router.changes:
            return
        self._noted = self.router.changes
        now = time.monotonic()
        self.ejection.replicas_changed(now)
        if self.start.observe(bool(self.router.replicas), now, self._oldest_arrival()):
            for entry in self._queue.entries():
                self._set_timeout(entry.item)

    def _oldest_arrival(self) -> float | None:
        return min((head.item.arrived for head in self._queue.heads()), default=None)

    def _set_timeout(self, waiter: _Waiter) -> None:
        deadline = self.start.deadline(waiter.arrived)
        if waiter.timeout is not None and deadline is not None and not waiter.granted.done():
            left_s = max(0.0, deadline - time.monotonic())
            waiter.timeout.reschedule(asyncio.get_running_loop().time() + left_s)

    def _timed_out(self, waiter: _Waiter) -> ApiError:
        if self.start.is_empty:
            within_s = self.start.start_timeout_s
            return ApiError(
                503,
                f"this model has no replica, and none has started within {within_s:.0f} s; try again later",
                code="no_replica",
                retry_after_s=self._start_left_s(),
            )
        return ApiError(
            503,
            f"no replica of this model had room within {self.queue_timeout_s:.0f} s; try again later",
            code="no_replica",
            retry_after_s=self._drain_time(),
        )

    def _start_left_s(self) -> float:
        return self.start.left_s(time.monotonic(), self._oldest_arrival())

    def _wake_when_ejections_end(self) -> None:
        """With requests waiting, looks again when an ejection ends: no other event may come."""
        now = time.monotonic()
        end = self.ejection.next_end(now)
        if self._queue and end is not None and self._look_again_at is None:
            delay_s = max(0.0, end - now) + 0.01
            self._look_again_at = asyncio.get_running_loop().call_later(delay_s, self._look_again)

    def _look_again(self) -> None:
        self._look_again_at = None
        self.grant()

    def _drop(self, entry: Entry[_Waiter]) -> None:
        """Leaves nothing of a request that waits no more."""
        granted = entry.item.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self.release(granted.result())
        elif entry.waits:
            self._queue.remove(entry)
            self.grant()

    def _drain_time(self) -> float:
        """Seconds until the queue of now is served, at the rate of the last completions; at least 1."""
        if len(self._finished) < 2:
            return 1.0
        rate = (len(self._finished) - 1) / max(1e-3, time.monotonic() - self._finished[0])
        return min(60.0, max(1.0, len(self._queue) / rate))
