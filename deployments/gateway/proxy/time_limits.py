"""The three limits of time of an answer: its first byte, silence after that, and the whole.

One timer an answer: passing bytes costs two attributes. A replica that is silent for `FROZEN_AFTER_S` has its health
checked, so that a frozen one is given up long before the limits of an answer that may be long, and before Serve ends
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from cluster.fleet import Gateway, TimeLimits

FROZEN_AFTER_S = 10.0
FROZEN_CHECKS = 2
"""Health checks in a row that are not answered, until the replica counts as frozen."""


class Limit(StrEnum):
    """Which limit has passed. The value is the label `limit` of `gateway_time_limits_total`."""

    FIRST_BYTE = "first_byte"
    BETWEEN_BYTES = "between_bytes"
    WHOLE = "whole"
    FROZEN = "frozen"


WORDS = {
    Limit.FIRST_BYTE: "its first byte did not come within {:g} s",
    Limit.BETWEEN_BYTES: "nothing came for {:g} s",
    Limit.WHOLE: "its answer was not whole within {:g} s",
    Limit.FROZEN: "its engine is frozen: {:g} s of silence, and no answer to health checks",
}


class AnswerTimedOut(Exception):
    """A limit of time passed. Another replica may be tried unless the answer is merely long."""

    def __init__(self, limit: Limit, seconds: float) -> None:
        super().__init__(WORDS[limit].format(seconds))
        self.limit = limit


@dataclass(frozen=True)
class Seconds:
    """The limits that hold for one answer."""

    first_byte: float
    between_bytes: float
    whole: float

    @property
    def soonest(self) -> float:
        """Seconds from the start before which none of them has passed."""
        return max(0.001, min(self.first_byte, self.between_bytes, self.whole, FROZEN_AFTER_S))


def seconds_for(settings: Gateway, route: str, streams: bool) -> Seconds:
    """The limits for a route's stream or whole answer: the route's own, else those of all routes."""
    general, own = settings.time_limits, settings.time_limits.routes.get(route)
    kinds: list[TimeLimits] = []
    if own:
        kinds.append(own.stream if streams else own.whole)
    kinds.append(general.stream if streams else general.whole)
    defaults = type(general)()
    kinds.append(defaults.stream if streams else defaults.whole)
    first = next(k.first_byte_s for k in kinds if k.first_byte_s is not None)
    between = next(k.between_bytes_s for k in kinds if k.between_bytes_s is not None)
    whole = next(k.whole_s for k in kinds if k.whole_s is not None)
    if settings.read_timeout_s is not None:
        first, between = min(first, settings.read_timeout_s), min(between, settings.read_timeout_s)
    return Seconds(first, between, whole)


class LimitsByRoute:
    """What `seconds_for` says, remembered by route."""

    def __init__(self, settings: Gateway) -> None:
        self._settings = settings
        self._known: dict[tuple[str, bool], Seconds] = {}

    def seconds(self, route: str, streams: bool) -> Seconds:
        """`route` is one of the gateway's own paths, of which there are few."""
        found = self._known.get((route, streams))
        if found is None:
            found = self._known[route, streams] = seconds_for(self._settings, route, streams)
        return found


class AnswerTimer:
    """Watches one attempt's answer. `is_frozen` checks the replica's health."""

    def __init__(self, limits: Seconds, is_frozen: Callable[[], Awaitable[bool]] | None = None) -> None:
        self._limits, self._is_frozen = limits, is_frozen
        self._loop = asyncio.get_running_loop()
        self._started = self._waiting_since = self._loop.time()
        self._has_first_byte = False
        self._is_waiting = True
        self._unanswered = 0
        self._handle: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        self._passed: AnswerTimedOut | None = None
        self._timeout: asyncio.Timeout | None = None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Ends what runs inside with AnswerTimedOut when a limit passes."""
        self._handle = self._loop.call_later(self._limits.soonest, self._look)
        try:
            async with asyncio.timeout(None) as self._timeout:
                yield
        except TimeoutError:
            if self._passed:
                raise self._passed from None
            raise
        finally:
            self._timeout = None
            if self._handle:
                self._handle.cancel()
            if self._checking:
                self._checking.cancel()

    def wait(self) -> None:
        """The next byte is waited for from now on. Time in which the client does not read is not the engine's."""
        self._waiting_since, self._is_waiting = self._loop.time(), True

    def received(self) -> None:
        """Bytes have come."""
        self._is_waiting, self._has_first_byte = False, True

    def passed(self) -> None:
        """Bytes have come, and the next ones are waited for at once."""
        self._waiting_since, self._has_first_byte = self._loop.time(), True

    def _look(self) -> None:
        """Ends the attempt where a limit has passed, else looks again when the next one may have."""
        now, limits = self._loop.time(), self._limits
        left = {Limit.WHOLE: (self._started + limits.whole - now, limits.whole)}
        if self._is_waiting and self._has_first_byte:
            silence = limits.between_bytes
            left[Limit.BETWEEN_BYTES] = (self._waiting_since + silence - now, silence)
        elif self._is_waiting:
            left[Limit.FIRST_BYTE] = (self._started + limits.first_byte - now, limits.first_byte)
        limit, (least, seconds) = min(left.items(), key=lambda one: one[1][0])
        if least <= 0:
            self._end(AnswerTimedOut(limit, seconds))
            return
        pauses = [least, FROZEN_AFTER_S, limits.between_bytes]
        silent_s = now - self._waiting_since if self._is_waiting else 0.0
        if not self._is_waiting or silent_s < FROZEN_AFTER_S:
            self._unanswered = 0
        if self._is_frozen and self._is_waiting:
            if silent_s >= FROZEN_AFTER_S and self._checking is None:
                self._checking = asyncio.create_task(self._check(self._waiting_since))
            elif silent_s < FROZEN_AFTER_S:
                pauses.append(FROZEN_AFTER_S - silent_s)
        self._handle = self._loop.call_later(max(0.001, min(pauses)), self._look)

    async def _check(self, silent_since: float) -> None:
        assert self._is_frozen is not None
        while self._is_waiting and self._waiting_since == silent_since:
            if not await self._is_frozen():
                break
            self._unanswered += 1
            if self._unanswered >= FROZEN_CHECKS and self._is_waiting and self._waiting_since == silent_since:
                self._checking = None
                self._end(AnswerTimedOut(Limit.FROZEN, self._loop.time() - silent_since))
                return
        self._unanswered = 0
        self._checking = None

    def _end(self, passed: AnswerTimedOut) -> None:
        if self._timeout and not self._timeout.expired():
            self._passed = passed
            self._timeout.reschedule(self._loop.time())
