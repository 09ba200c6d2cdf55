"""File descriptors that are kept free, so that the listener never fails for want of one and `/health` is answered."""

from __future__ import annotations

import os
import resource

from deployments.gateway.errors.error_object import ApiError

RESERVE = 128
"""File descriptors below the limit from which on requests are refused: for connections to engines and bodies that are
on their way, and for new connections that ask for `/health`."""

LAST = 16
"""File descriptors below the limit from which on new connections are refused."""


class FileReserve:
    """`limit` is the process's own where it is None. A process with a small limit reserves a quarter of it."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit or resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    @property
    def reserve(self) -> int:
        return min(RESERVE, self.limit // 4)

    def in_use(self) -> int:
        """At least so many are open: the kernel gives the lowest number that is free. Raises OSError at the limit."""
        probe = os.dup(0)
        os.close(probe)
        return probe

    def check(self) -> None:
        """Raises ApiError 503 where the reserve would be touched. The connection should be closed then."""
        try:
            in_use = self.in_use()
        except OSError:
            in_use = self.limit
        if in_use >= self.limit - self.reserve:
            raise ApiError(
                503,
                f"the gateway has {in_use} of {self.limit} file descriptors open; try again, "
                "or start it with a higher limit (`ulimit -n`)",
                code="overloaded",
                retry_after_s=1,
                headers={"Connection": "close"},
            )

    def has_room(self, connection: int) -> bool:
        """Whether a new connection with this file descriptor may stay."""
        return connection < self.limit - min(LAST, self.reserve // 2)


FILES = FileReserve()
"""This process's."""
