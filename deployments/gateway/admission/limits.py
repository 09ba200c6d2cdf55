"""A tenant's limits: token buckets of requests, tokens and seconds of audio, each filled evenly over a minute.

A bucket holds one minute's allowance, so that in any minute no more than twice the limit passes, and over time no more
than the limit. Each gateway process has the whole bucket, and takes from it what the others tell that they have taken
(`Use`). So a limit holds for all of them together, whichever of them a client asks. They may pass it by what they take
within the 50 ms before they hear of each other, which the bucket then lacks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from cluster.fleet import Limits
from deployments.gateway.errors.error_object import ApiError

MINUTE_S = 60.0
SLACK = 1e-9
"""Part of a bucket that arithmetic may be wrong by: one who waits for exactly as long as told must get in."""

Clock = Callable[[], float]


class Unit(StrEnum):
    """What is counted. The value is as `x-ratelimit-*` headers and metrics spell it."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    AUDIO = "audio-seconds"


WORDS = {Unit.REQUESTS: "requests", Unit.TOKENS: "tokens", Unit.AUDIO: "seconds of audio"}


class OverLimit(ApiError):
    """The refusal of a request by one of its tenant's limits."""

    def __init__(self, unit: Unit, message: str, retry_after_s: float | None) -> None:
        # OpenAI's SDKs wait for `retry-after-ms` where there is one, and heed `x-should-retry`.
        told = {"x-should-retry": "false"}
        if retry_after_s is not None:
            told = {"retry-after-ms": str(math.ceil(retry_after_s * 1000))}
        super().__init__(429, message, retry_after_s=retry_after_s, headers=told)
        self.unit = unit


class Bucket:
    """An allowance of `limit` units a minute. `taken`: units that this process has taken in all."""

    def __init__(self, limit: float, clock: Clock = time.monotonic) -> None:
        self.limit, self.taken = limit, 0.0
        self._clock = clock
        self._level, self._filled_at = limit, clock()

    @property
    def level(self) -> float:
        """Units that may be taken now; below zero where more was used than had been charged."""
        now = self._clock()
        gained = max(0.0, now - self._filled_at) * self.limit / MINUTE_S
        self._level, self._filled_at = min(self.limit, self._level + gained), max(now, self._filled_at)
        return self._level

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` may be taken: 0 now, infinite never."""
        if amount > self.limit:
            return math.inf
        lacking = amount - self.level
        return lacking * MINUTE_S / self.limit if lacking > SLACK * self.limit else 0.0

    def take(self, amount: float) -> None:
        """Takes it, whether or not it is there; a negative amount goes back in, as far as there is room."""
        self.taken += amount
        self.take_elsewhere(amount)

    def take_elsewhere(self, amount: float) -> None:
        """Another process has taken it."""
        self._level = self.level - amount  # and no more than a bucketful when it is next looked at

    def meet(self, taken: float, level: float) -> None:
        """Another process, of which nothing was known yet, has taken so much since it started, and finds so much left.

        One of the two has started lately: what that one has taken is recent, and the other has not heard of it. The
        larger difference is that one's, since what was taken long ago has come back.
        """
        own = self.level
        self._level = min(own, level, max(own - taken, level - self.taken))

    @property
    def full_in_s(self) -> float:
        return (self.limit - self.level) * MINUTE_S / self.limit


class Charge:
    """What one request was charged at the door by an estimate, to be settled once by what it really used.

    One that is never settled (its client left, its answer told no usage) stays charged as estimated.
    """

    def __init__(self, bucket: Bucket | None, estimate: float) -> None:
        self._bucket, self._estimate = bucket, estimate

    @property
    def open(self) -> bool:
        """Whether it makes a difference to settle it."""
        return self._bucket is not None

    def settle(self, used: float) -> None:
        """Gives back what was not used, or takes what was used beyond the estimate. Only the first call counts."""
        if self._bucket is not None:
            self._bucket.take(max(0.0, used) - self._estimate)
            self._bucket = None


class Concurrency:
    """How many sequences one tenant has at engines, over all models. `most` None: no limit.

    A request enters while fewer are there, however many sequences it has itself. `running`: of this process.
    """

    def __init__(self, most: int | None) -> None:
        self.most, self.running = most, 0
        self._elsewhere: dict[str, int] = {}
        self._waiting: list[Callable[[], None]] = []

    def has_room(self) -> bool:
        return self.most is None or self.running + sum(self._elsewhere.values()) < self.most

    def enter(self, sequences: int) -> None:
        self.running += sequences

    def leave(self, sequences: int) -> None:
        self.running -= sequences
        self._look_again()

    def set_elsewhere(self, gateway: str, running: int) -> None:
        """Another process has so many."""
        self._elsewhere[gateway] = running
        if not running:
            del self._elsewhere[gateway]
        self._look_again()

    def _look_again(self) -> None:
        if self._waiting and self.has_room():
            waiting, self._waiting = self._waiting, []
            for look_again in waiting:
                look_again()

    def when_room(self, look_again: Callable[[], None]) -> None:
        """Calls this once, as soon as there is room."""
        if look_again not in self._waiting:
            self._waiting.append(look_again)


class Use(msgspec.Struct, array_like=True):
    """What one process tells of its part in one tenant's limits.

    Attributes:
        running: sequences that it has at engines.
        taken: units that it has ever taken from each bucket, less those that it gave back.
        left: units that it finds in each bucket; below zero where it is in debt.
    """

    running: int
    taken: list[float]
    left: list[float]


class Quota:
    """One tenant's limits, as this process knows what is left of them. `limits` None: none at all."""

    def __init__(self, limits: Limits | None, clock: Clock = time.monotonic) -> None:
        limits = limits or Limits()
        allowed: dict[Unit, float | None] = {
            Unit.REQUESTS: limits.requests_per_minute,
            Unit.TOKENS: limits.tokens_per_minute,
            Unit.AUDIO: limits.audio_seconds_per_minute,
        }
        self._buckets = {unit: Bucket(most, clock) for unit, most in allowed.items() if most}
        self.concurrency = Concurrency(limits.concurrent_requests)
        self._taken_elsewhere: dict[str, list[float]] = {}

    @property
    def limited(self) -> bool:
        return bool(self._buckets) or self.concurrency.most is not None

    def use(self) -> Use:
        """What the other processes are to know."""
        buckets = self._buckets.values()
        return Use(self.concurrency.running, [each.taken for each in buckets], [each.level for each in buckets])

    def set_elsewhere(self, gateway: str, use: Use | None) -> None:
        """What another process tells, as of now; None: it is gone. Raises ValueError where it has other limits."""
        if use is None:
            self._taken_elsewhere.pop(gateway, None)
            self.concurrency.set_elsewhere(gateway, 0)
            return
        if not len(use.taken) == len(use.left) == len(self._buckets):
            raise ValueError(f"a tenant with {len(use.taken)} limits, and it has {len(self._buckets)} here")
        before = self._taken_elsewhere.get(gateway)
        for number, (bucket, taken, left) in enumerate(zip(self._buckets.values(), use.taken, use.left, strict=True)):
            if before is None:
                bucket.meet(taken, left)
            else:
                bucket.take_elsewhere(taken - before[number])
        self._taken_elsewhere[gateway] = use.taken
        self.concurrency.set_elsewhere(gateway, use.running)

    def charge(self, unit: Unit, amount: float = 1) -> Charge:
        """Takes `amount` from the unit's bucket. Raises OverLimit, with the exact wait, where it is not there."""
        bucket = self._buckets.get(unit)
        if bucket is None:
            return Charge(None, amount)
        wait = bucket.wait_s(amount)
        words = WORDS[unit]
        if math.isinf(wait):
            raise OverLimit(
                unit,
                f"this request counts for {amount:.0f} {words}, and you may use {bucket.limit:g} a minute; "
                "send a smaller one",
                None,
            )
        if wait:
            raise OverLimit(
                unit,
                f"you have used your {bucket.limit:g} {words} a minute; try again in {max(wait, 0.001):.3f} s",
                wait,
            )
        bucket.take(amount)
        return Charge(bucket, amount)

    def headers(self) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*` headers: the limit, what is left, and when that is full again."""
        told = {}
        for unit, bucket in self._buckets.items():
            told[f"x-ratelimit-limit-{unit}"] = f"{bucket.limit:.15g}"
            told[f"x-ratelimit-remaining-{unit}"] = str(max(0, math.floor(bucket.level + SLACK * bucket.limit)))
            told[f"x-ratelimit-reset-{unit}"] = _duration(bucket.full_in_s)
        return told


def _duration(seconds: float) -> str:
    """As OpenAI writes durations: 20ms, 1.5s, 6m0s."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
