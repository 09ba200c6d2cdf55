"""The three limits of time of an answer: its first byte, silence after that, and the whole.

One timer an answer: passing bytes costs two attributes. A replica that is frozen ends it earlier, by `ReplicaWatch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cluster.fleet import Gateway, TimeLimits


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
        return max(0.001, min(self.first_byte, self.between_bytes, self.whole))


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


class Hearing(Protocol):
    """Who wants to know when something was heard last of a replica."""

    heard_at: float


class AnswerTimer:
    """Watches one attempt's answer. `waiting_since`: when it began to wait for the next bytes; None while it does not.
    Both clocks are the event loop's."""

    def __init__(self, limits: Seconds) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self.waiting_since: float | None = self._started
        self._has_first_byte = False
        self._watched: Hearing | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._passed: AnswerTimedOut | None = None
        self._timeout: asyncio.Timeout | None = None

    @asynccontextmanager
    async def watch(self, watched: Hearing | None = None) -> AsyncIterator[None]:
        """Ends what runs inside with AnswerTimedOut when a limit passes. `watched` hears of every byte."""
        self._watched = watched
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

    def wait(self) -> None:
        """The next byte is waited for from now on. Time in which the client does not read is not the engine's."""
        self.waiting_since = self._loop.time()

    def received(self) -> None:
        """Bytes have come."""
        self.waiting_since, self._has_first_byte = None, True
        if self._watched:
            self._watched.heard_at = self._loop.time()

    def passed(self) -> None:
        """Bytes have come, and the next ones are waited for at once."""
        now = self.waiting_since = self._loop.time()
        self._has_first_byte = True
        if self._watched:
            self._watched.heard_at = now

    def freeze(self, silent_s: float) -> None:
        """The replica is frozen: nothing more will come."""
        self._end(AnswerTimedOut(Limit.FROZEN, silent_s))

    def _look(self) -> None:
        """Ends the attempt where a limit has passed, else looks again when the next one may have."""
        now, limits = self._loop.time(), self._limits
        limit, seconds, least = Limit.WHOLE, limits.whole, self._started + limits.whole - now
        if self.waiting_since is not None:
            silence, kind = limits.between_bytes, Limit.BETWEEN_BYTES
            if not self._has_first_byte:
                silence, kind = limits.first_byte, Limit.FIRST_BYTE
            left = self.waiting_since + silence - now
            if left < least:
                limit, seconds, least = kind, silence, left
        if least <= 0:
            self._end(AnswerTimedOut(limit, seconds))
            return
        self._handle = self._loop.call_later(max(0.001, min(least, limits.between_bytes)), self._look)

    def _end(self, passed: AnswerTimedOut) -> None:
        if self._timeout and not self._timeout.expired():
            self._passed = passed
            self._timeout.reschedule(self._loop.time())
