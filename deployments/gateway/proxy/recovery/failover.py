"""What one request may still try after a failure: one budget over retries, resumes and 5xx answers.

- It reaches `attempts` replicas at most. One that was not reached costs no attempt: while it restarts, requests wait.
- A retry takes part of the retry budget, unless the failed replica does not work on the request any more.
- A request that was in flight where two engines died is refused: it may be what ends them.
- A replica is blamed for a 5xx only where another one answers the request.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from deployments.gateway.admission.model_admission import Admission
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.http_log import logger
from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.gateway.proxy.recovery.retry_budget import RetryClaim
from deployments.routing import Booking, Replica

MOST_DEATHS = 2
"""Engine deaths that a request may be in flight at; with the last of them it is refused."""

DEATH_CHECK_S = 1.0
"""How long a health check may delay a retry. An engine that has died refuses it at once."""

FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.05, 1.0
"""Between two attempts to reach a model whose every replica refuses connections."""


class Failover:
    """One request's budget. `failed`: incarnations that failed it, which get it again only where there is no other."""

    def __init__(self, admission: Admission, attempts: int, claim: RetryClaim, model: str, request_id: str) -> None:
        self.failed: set[str] = set()
        self.deaths = 0
        self._admission, self._attempts_left, self._claim = admission, attempts, claim
        self._model, self._request_id = model, request_id
        self._erring: list[Replica] = []
        self._unreached = 0
        self._unreached_since = 0.0
        self._last: Failure | None = None
        self._is_free = False
        """Whether the next attempt takes no part of the retry budget."""

    def close(self) -> None:
        """Gives back the request's part of the retry budget. A second time does nothing."""
        self._claim.release()

    @property
    def was_in_two_deaths(self) -> bool:
        return self.deaths >= MOST_DEATHS

    def may_retry(self, booking: Booking) -> bool:
        """Whether the client is better served by another replica than by this one's error answer."""
        if self._attempts_left <= 1 or not self._admission.has_other({*self.failed, booking.replica.incarnation}):
            return False
        return self._claim.take()

    def answered(self, booking: Booking) -> None:
        """The replica has begun an answer that is no 5xx: those that gave one are to blame for theirs."""
        self._admission.succeeded(booking.replica)
        for replica in self._erring:
            self._admission.failed(replica, Failure.ERROR)
        self._erring.clear()
        self._unreached = 0

    async def failed_at(self, booking: Booking, failure: Failure, health: Callable[[], Awaitable[Health]]) -> None:
        """Takes note of a failed attempt."""
        replica = booking.replica
        self.failed.add(replica.incarnation)
        self._last = failure
        self._is_free = failure in (Failure.UNREACHABLE, Failure.WITHDRAWN, Failure.FROZEN)
        if failure in (Failure.UNREACHABLE, Failure.WITHDRAWN):
            self._unreached_since = self._unreached_since if self._unreached else time.monotonic()
            self._unreached += failure is Failure.UNREACHABLE
        else:
            self._attempts_left -= 1
            self._unreached = 0
        has_died = failure in (Failure.LOST, Failure.ERROR) and await _is_dead(health)
        if has_died:
            self._admission.failed(replica, Failure.DIED)
        elif failure is Failure.ERROR and not self._admission.is_probing(replica):
            self._erring.append(replica)
        else:
            self._admission.failed(replica, failure)
        if has_died:
            self._is_free = True
            self.deaths += 1
            if self.was_in_two_deaths:
                logger.error(
                    "request %s was in flight when two engines of '%s' died, and is not tried again; look at it",
                    self._request_id,
                    self._model,
                )

    async def before_next(self) -> None:
        """Waits as long as the next attempt must. Raises ApiError where there may be none."""
        if self._last is None:
            return
        if self.was_in_two_deaths:
            raise ApiError(
                500,
                f"two engines died while they worked on this request ({self._request_id}), and it is not tried again; "
                "change it before you send it again",
                code="engines_died",
                headers={"x-should-retry": "false"},
            )
        timeout_s = self._admission.queue_timeout_s
        is_late = self._unreached and time.monotonic() - self._unreached_since >= (
            math.inf if timeout_s is None else timeout_s
        )
        if self._attempts_left <= 0 or is_late or not (self._is_free or self._claim.take()):
            raise ApiError(
                503,
                f"no replica of '{self._model}' answered this request ({len(self.failed)} tried); try again later",
                code="replicas_failed",
                retry_after_s=5,
            )
        if self._unreached and not self._admission.has_other(self.failed):
            await asyncio.sleep(min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self._unreached - 1, 16)))


async def _is_dead(health: Callable[[], Awaitable[Health]]) -> bool:
    try:
        async with asyncio.timeout(DEATH_CHECK_S):
            return await health() is Health.DEAD
    except TimeoutError:
        return False
