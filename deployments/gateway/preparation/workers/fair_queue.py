"""A bounded queue that serves its tenants in turn, one entry each."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Round robin over tenants, first in first out within one (Nagle, RFC 970). Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, tenant: str, entry: T) -> None:
        self._waiting.setdefault(tenant, deque()).append(entry)
        self._count += 1

    def pop(self) -> T:
        """The oldest entry of the tenant that has been served least recently. Raises KeyError where it is empty."""
        tenant, entries = self._waiting.popitem(last=False)
        entry = entries.popleft()
        if entries:
            self._waiting[tenant] = entries  # at the end
        self._count -= 1
        return entry
