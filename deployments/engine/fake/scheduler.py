"""Runs a batch in real time: one task, one sleep a step, to absolute deadlines so that speed does not drift."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deployments.engine.fake.batch import Batch, Sequence
from deployments.engine.fake.faults import Faults

log = logging.getLogger(__name__)

MOST_LAG_S = 0.25
"""A loop held up for longer than this does not catch up: the engine was slow, and a burst would hide it."""


class Scheduler:
    """Steps `batch` whenever it has sequences. `run` is the task; the other methods are called in its event loop.

    `end_step` is called after each step.
    """

    def __init__(self, batch: Batch, faults: Faults, end_step: Callable[[], None] = lambda: None) -> None:
        self.batch = batch
        self.failed = False
        self._faults = faults
        self._end_step = end_step
        self._work = asyncio.Event()

    def submit(self, sequence: Sequence) -> None:
        """Raises TooManyWaiting where the queue is full."""
        self.batch.submit(sequence)
        self._work.set()

    def abort(self, sequence: Sequence) -> None:
        self.batch.abort(sequence)

    async def run(self) -> None:
        """Runs until it is cancelled; `failed` says that it stopped for another reason."""
        try:
            await self._step_for_ever()
        except Exception:
            self.failed = True
            log.exception("the engine's loop has failed")

    async def _step_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            deadline = loop.time()
            while self.batch.live:
                deadline = max(deadline, loop.time() - MOST_LAG_S) + self.batch.plan() * self._faults.slow
                await asyncio.sleep(max(0.0, deadline - loop.time()))
                await self._faults.not_hanging()
                self.batch.finish_step()
                self._end_step()
            self._work.clear()
