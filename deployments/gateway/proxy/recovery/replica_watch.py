"""Finds replicas that are frozen: nothing comes from them for a while on any connection, not even an answer to a check.

One watch for all requests at a replica, by what this process hears of it: bytes of any answer, or of a health check,
which a replica that is silent gets. One that has to think, and answers its health check, may be silent for as long as
the limits of an answer allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.routing import Replica

CHECK_AFTER_S = 1.0
"""Silence after which a replica's health is checked."""
CHECK_S = 2.0
"""In which a check has to be answered."""
AVOID_AFTER_S = 2.0
"""Silence, with a check that is not answered, after which new requests go elsewhere."""
FROZEN_AFTER_S, UNANSWERED = 5.0, 2
"""Silence, and checks in a row without an answer, that make a replica frozen."""
ALONE_AFTER_S = 20.0
"""The same silence where no other replica could take its requests: it may come back."""
TICK_S = 0.25
LATE_S = 1.0
"""A look that is so late says that this process stood still itself, and has not listened."""


class Waiting(Protocol):
    """An answer under way. `waiting_since`: when it began to wait for the next bytes; None while it does not."""

    waiting_since: float | None

    def freeze(self, silent_s: float) -> None:
        """Its replica is frozen: it will not end."""


class Alternatives(Protocol):
    """What the watch asks of a model's admission."""

    def avoid(self, replica: Replica, seconds: float) -> None:
        """For so long new requests go elsewhere, where there is another replica for them."""

    def has_better(self, replica: Replica) -> bool:
        """Whether a replica beside this one is in use."""


class Watched:
    """What is heard of one replica, and who waits for it. `heard_at` is by the event loop's clock."""

    def __init__(self, url: str, replica: Replica, alternatives: Alternatives, now: float) -> None:
        self.url, self.replica, self.alternatives = url, replica, alternatives
        self.heard_at = now
        self.answers: set[Waiting] = set()
        self.unanswered = 0
        self.check: asyncio.Task[None] | None = None
        self.checked_at = 0.0

    def silent_s(self, now: float) -> float:
        """For how long something has been waited for in vain. Of a busy replica it is known without a look at each."""
        if now - self.heard_at < CHECK_AFTER_S:
            return 0.0
        waiting = [answer.waiting_since for answer in self.answers if answer.waiting_since is not None]
        return now - max(self.heard_at, min(waiting)) if waiting else 0.0


class ReplicaWatch:
    """All replicas with requests of this process. Belongs to one event loop."""

    def __init__(self, check: Callable[[str], Awaitable[Health]]) -> None:
        self._check_health = check
        self._watched: dict[str, Watched] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._due = 0.0

    def close(self) -> None:
        if self._tick:
            self._tick.cancel()
            self._tick = None
        for watched in self._watched.values():
            _end_check(watched)

    @contextmanager
    def watching(self, url: str, replica: Replica, alternatives: Alternatives, answer: Waiting) -> Iterator[Watched]:
        """Watches for the sake of `answer`, whose bytes are to be noted in what this gives."""
        loop = asyncio.get_running_loop()
        watched = self._watched.get(replica.incarnation)
        if watched is None:
            watched = self._watched[replica.incarnation] = Watched(url, replica, alternatives, loop.time())
        watched.answers.add(answer)
        if self._tick is None:
            self._due = loop.time() + TICK_S
            self._tick = loop.call_later(TICK_S, self._look)
        try:
            yield watched
        finally:
            watched.answers.discard(answer)
            if not watched.answers:
                _end_check(watched)
                del self._watched[replica.incarnation]

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        stood_still = now - self._due > LATE_S
        for watched in list(self._watched.values()):
            if stood_still:
                watched.heard_at = now
            silent_s = watched.silent_s(now)
            if silent_s < CHECK_AFTER_S:
                watched.unanswered = 0
            else:
                self._look_at(watched, now, silent_s)
        self._tick = None
        if self._watched:
            self._due = now + TICK_S
            self._tick = loop.call_later(TICK_S, self._look)

    def _look_at(self, watched: Watched, now: float, silent_s: float) -> None:
        is_frozen = watched.unanswered >= UNANSWERED and silent_s >= FROZEN_AFTER_S
        if is_frozen and (silent_s >= ALONE_AFTER_S or watched.alternatives.has_better(watched.replica)):
            for answer in list(watched.answers):
                if answer.waiting_since is not None:
                    answer.freeze(silent_s)
            return
        if watched.check is None:
            watched.checked_at = now
            watched.check = asyncio.create_task(self._check(watched))
        waited_s = now - watched.checked_at
        if silent_s >= AVOID_AFTER_S and (watched.unanswered or waited_s >= AVOID_AFTER_S - CHECK_AFTER_S):
            watched.alternatives.avoid(watched.replica, 2 * TICK_S)

    async def _check(self, watched: Watched) -> None:
        try:
            async with asyncio.timeout(CHECK_S):
                health = await self._check_health(watched.url)
        except TimeoutError:
            health = Health.FROZEN
        finally:
            watched.check = None
        if health is Health.FROZEN:
            watched.unanswered += 1
        else:
            # Also one that is dead has been heard: the connections to it end by themselves.
            watched.unanswered, watched.heard_at = 0, asyncio.get_running_loop().time()


def _end_check(watched: Watched) -> None:
    if watched.check:
        watched.check.cancel()
        watched.check = None
