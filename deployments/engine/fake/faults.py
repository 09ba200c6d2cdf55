"""Faults on demand, so that tests break an engine at a chosen point: set and cleared at `/fault`."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Literal

import msgspec
from aiohttp import web

EventLoss = Literal["dropped", "forgotten"]

FLUSH_S = 0.02
"""Time for written frames to leave the process before it dies."""


class FaultRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A fault to set. Left out: unchanged.

    Attributes:
        fail_next: how many of the next requests to `/v1/...` get `status` as their answer.
        die_after_tokens: the next answer kills the process once it has sent that many tokens; 0 before its first byte.
        cut_after_tokens: likewise, but only its connection is closed.
        stall_s: seconds before each request to `/v1/...` is looked at.
        slow: factor on the time of every step.
        hang: nothing is answered and no step ends until it is false again.
        unhealthy: /health says 503.
        drop_events: how many of the next batches of KV events are not published; they can be replayed.
        forget_events: likewise, but they cannot be replayed either.
    """

    fail_next: int | None = None
    status: int = 500
    die_after_tokens: int | None = None
    cut_after_tokens: int | None = None
    stall_s: float | None = None
    slow: float | None = None
    hang: bool | None = None
    unhealthy: bool | None = None
    drop_events: int | None = None
    forget_events: int | None = None

    def __post_init__(self) -> None:
        counts = (
            *(self.fail_next, self.die_after_tokens, self.cut_after_tokens, self.stall_s),
            *(self.drop_events, self.forget_events),
        )
        if any(count is not None and count < 0 for count in counts):
            raise ValueError("counts and seconds of a fault are 0 or more")
        if self.slow is not None and self.slow <= 0:
            raise ValueError("slow is a factor above 0")
        if not 400 <= self.status < 600:
            raise ValueError("status is an HTTP error, 400 to 599")


class Breakage:
    """How one answer ends before its time: after `after_tokens` tokens."""

    def __init__(self, after_tokens: int, kills: bool) -> None:
        self.after_tokens = after_tokens
        self._kills = kills

    async def happen(self, request: web.Request) -> None:
        """Kills the process, or closes the request's connection without an end of its answer."""
        if self._kills:
            await asyncio.sleep(FLUSH_S)
            os.kill(os.getpid(), signal.SIGKILL)
        if request.transport is not None:
            request.transport.close()


class Faults:
    """The faults that are set now."""

    def __init__(self) -> None:
        self._awake = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        self.failures_left = 0
        self.failure_status = 500
        self.stall_s = 0.0
        self.slow = 1.0
        self.unhealthy = False
        self.drops_left = 0
        self.forgets_left = 0
        self._breakage: Breakage | None = None
        self._awake.set()

    def set(self, wanted: FaultRequest) -> None:
        if wanted.fail_next is not None:
            self.failures_left, self.failure_status = wanted.fail_next, wanted.status
        if wanted.die_after_tokens is not None:
            self._breakage = Breakage(wanted.die_after_tokens, kills=True)
        if wanted.cut_after_tokens is not None:
            self._breakage = Breakage(wanted.cut_after_tokens, kills=False)
        if wanted.stall_s is not None:
            self.stall_s = wanted.stall_s
        if wanted.slow is not None:
            self.slow = wanted.slow
        if wanted.unhealthy is not None:
            self.unhealthy = wanted.unhealthy
        if wanted.drop_events is not None:
            self.drops_left = wanted.drop_events
        if wanted.forget_events is not None:
            self.forgets_left = wanted.forget_events
        if wanted.hang is not None:
            (self._awake.clear if wanted.hang else self._awake.set)()

    def take_failure(self) -> int | None:
        """The status that this request fails with; None where it does not."""
        if not self.failures_left:
            return None
        self.failures_left -= 1
        return self.failure_status

    def take_breakage(self) -> Breakage | None:
        """How this answer breaks; no later one does."""
        taken, self._breakage = self._breakage, None
        return taken

    def take_event_loss(self) -> EventLoss | None:
        """What happens to this batch of KV events; None where it is published as it should be."""
        if self.forgets_left:
            self.forgets_left -= 1
            return "forgotten"
        if self.drops_left:
            self.drops_left -= 1
            return "dropped"
        return None

    async def not_hanging(self) -> None:
        await self._awake.wait()


class AnswerBroken(Exception):
    """A fault has ended this answer; there is no connection left to say so on."""
