"""How many bytes of requests and answers a gateway process holds at once, from their arrival to their end."""

from __future__ import annotations

from deployments.gateway.errors.error_object import ApiError


class ByteBudget:
    """Bytes in flight, at most `limit`. One event loop owns it.

    Where several tenants share it, each may hold as much as it leaves free: half of what the others do not hold
    (Choudhury and Hahne: Dynamic Queue Length Thresholds, 1998). So one that takes all that it gets, in bodies that it
    announces and never sends, leaves room for the others.
    """

    def __init__(self, limit: int, is_shared: bool = False) -> None:
        self.limit = limit
        self.in_flight = 0
        self._is_shared = is_shared
        self._held: dict[str, int] = {}

    def take(self, count: int, tenant: str = "") -> None:
        """Raises ApiError 503 where that would be more than the limit, or than the tenant's part of it."""
        held = self._held.get(tenant, 0)
        if self.in_flight + count > self.limit:
            raise self._full(self.in_flight, "other requests")
        if self._is_shared and held + count > self.limit - self.in_flight - count:
            raise self._full(held, "other requests of yours")
        self.in_flight += count
        self._held[tenant] = held + count

    def give_back(self, count: int, tenant: str = "") -> None:
        self.in_flight -= count
        if left := self._held.get(tenant, 0) - count:
            self._held[tenant] = left
        else:
            self._held.pop(tenant, None)

    def _full(self, held: int, whose: str) -> ApiError:
        return ApiError(
            503,
            f"the gateway holds {held / 2**20:.0f} MiB of {whose} "
            f"(`max_bytes_in_flight`: {self.limit / 2**20:.0f} MiB); try again",
            code="overloaded",
            retry_after_s=1,
        )


class ByteClaim:
    """One request's part of the budget. `tenant` is set before the first byte is taken."""

    def __init__(self, budget: ByteBudget, tenant: str = "") -> None:
        self.tenant = tenant
        self._budget = budget
        self._taken = self._arrived = 0

    def promise(self, length: int | None) -> None:
        """Takes the length that the client has announced, before a byte is read. Raises ApiError 503."""
        if length is not None:
            self.reserve(length)

    def arrive(self, count: int) -> None:
        """Counts bytes that have come, and takes those that nobody announced. Raises ApiError 503."""
        self._arrived += count
        if self._arrived > self._taken:
            self.reserve(self._arrived - self._taken)

    def reserve(self, count: int) -> None:
        """Takes bytes that the gateway itself makes of the body, or that an engine answers. Raises ApiError 503."""
        self._budget.take(count, self.tenant)
        self._taken += count

    def give_back(self, count: int) -> None:
        """Gives back a part of what was reserved."""
        self._budget.give_back(count, self.tenant)
        self._taken -= count

    def release(self) -> None:
        """Gives all of it back."""
        self._budget.give_back(self._taken, self.tenant)
        self._taken = 0
