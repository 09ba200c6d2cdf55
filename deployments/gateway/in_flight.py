"""The requests in flight, so that a gateway can stop without cutting one off."""

from __future__ import annotations

import asyncio

from deployments.gateway.errors.error_object import ApiError


class InFlight:
    """Counts requests, each as a `with` block. `draining`: no further one is taken."""

    def __init__(self) -> None:
        self.count = 0
        self.draining = False
        self._idle = asyncio.Event()

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._idle.set()

    def check(self) -> None:
        """Raises ApiError 503 while draining."""
        if self.draining:
            raise ApiError(503, "this gateway is stopping; try again", code="draining", retry_after_s=1)

    async def drain(self, within_s: float) -> bool:
        """Takes no further one and waits for the ends of all. False where some are left after that time."""
        self.draining = True
        self._idle.clear()
        if not self.count:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
