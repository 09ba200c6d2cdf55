"""How many bytes of requests a gateway process holds at once, from their arrival to the end of their answers."""

from __future__ import annotations

from deployments.gateway.errors import ApiError


class ByteBudget:
    """Bytes in flight, at most `limit`. One event loop owns it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    def take(self, count: int) -> None:
        """Raises ApiError 503 where that would be more than the limit."""
        if self.in_flight + count > self.limit:
            raise ApiError(
                503,
                f"the gateway holds {self.in_flight / 2**20:.0f} MiB of other requests "
                f"(`max_bytes_in_flight`: {self.limit / 2**20:.0f} MiB); try again",
                code="overloaded",
                retry_after_s=1,
            )
        self.in_flight += count

    def give_back(self, count: int) -> None:
        self.in_flight -= count


class ByteClaim:
    """One request's part of the budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._taken = self._arrived = 0

    def promise(self, length: int | None) -> None:
        """Takes the length that the client has announced, before a byte is read. Raises ApiError 503."""
        if length is not None:
            self._budget.take(length)
            self._taken += length

    def arrive(self, count: int) -> None:
        """Counts bytes that have come, and takes those that nobody announced. Raises ApiError 503."""
        self._arrived += count
        if self._arrived > self._taken:
            self._budget.take(self._arrived - self._taken)
            self._taken = self._arrived

    def reserve(self, count: int) -> None:
        """Takes bytes that the gateway itself will make of the body. Raises ApiError 503."""
        self._budget.take(count)
        self._taken += count

    def give_back(self, count: int) -> None:
        """Gives back a part of what was reserved."""
        self._budget.give_back(count)
        self._taken -= count

    def release(self) -> None:
        """Gives all of it back."""
        self._budget.give_back(self._taken)
        self._taken = 0
