"""A subscriber to one engine's KV events that notes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

from deployments.kv_cache.events import Cleared, KvEvent, Removed, Stored
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.subscriber import Subscriber


class Notes:
    """A sink. `events` begins anew where everything told before was withdrawn, which `clears` counts."""

    def __init__(self) -> None:
        self.events: list[KvEvent] = []
        self.batches = 0
        self.clears = 0
        self.states: list[FeedState] = []

    def apply(self, events: Sequence[KvEvent]) -> None:
        self.batches += 1
        self.events += events

    def clear(self) -> None:
        self.clears += 1
        self.events.clear()

    def state(self, state: FeedState) -> None:
        assert self.states[-1:] != [state], "a change that is none"
        self.states.append(state)

    @property
    def stored(self) -> list[Stored]:
        return [event for event in self.events if isinstance(event, Stored)]

    @property
    def blocks(self) -> set[object]:
        """Names of the blocks that a prompt would meet."""
        known: set[object] = set()
        for event in self.events:
            match event:
                case Stored():
                    known |= set(event.hashes)
                case Removed():
                    known -= set(event.hashes)
                case Cleared():
                    known.clear()
        return known

    def is_a_chain(self) -> bool:
        """Whether each stored run follows blocks that were known before, within itself and in time."""
        known: set[object] = {None}
        for event in self.stored:
            if event.parent not in known or any(a == b for a, b in pairwise(event.hashes)):
                return False
            known |= set(event.hashes)
        return True

    async def until(self, reached: Callable[[Notes], bool], timeout_s: float = 15) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not reached(self):  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"not told: {len(self.events)} events, {self.clears} clears, states {self.states}"
            ) from None

    async def until_state(self, state: FeedState, timeout_s: float = 15) -> None:
        await self.until(lambda notes: notes.states[-1:] == [state], timeout_s)


@asynccontextmanager
async def following(endpoint: str, replay_endpoint: str) -> AsyncIterator[Notes]:
    """Follows an engine for as long as the block lasts; fails where the subscriber did."""
    notes = Notes()
    running = asyncio.create_task(Subscriber(endpoint, replay_endpoint, notes).run())
    try:
        yield notes
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
