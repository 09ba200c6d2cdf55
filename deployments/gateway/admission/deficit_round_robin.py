"""Deficit round robin between tenants, in seconds of work (Shreedhar and Varghese, SIGCOMM 1995).

Tenants with waiting entries form a ring. A visit adds a quantum to the tenant's deficit, in proportion to its weight;
the tenant is served while its deficit covers the price of its next entry. A tenant that has nothing left to serve
loses its deficit, so that nobody saves up while idle.

The quantum is small, and rounds that serve nobody are skipped by arithmetic: a turn costs one pass over the tenants
however far apart prices and weights are.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

QUANTUM_S = 0.05
"""Seconds of work that a visit adds for the tenant of the highest weight: how far one tenant may run ahead."""

T = TypeVar("T")


@dataclass(order=True)
class Entry(Generic[T]):
    """Something that waits. Entries of one tenant are served in ascending `order`, which no two of them share.

    `waits` is false once it was taken or removed.
    """

    order: tuple[int, int]
    item: T = field(compare=False)
    tenant: str = field(compare=False)
    price_s: float = field(compare=False)
    waits: bool = field(compare=False, default=True)


@dataclass(eq=False)
class _TenantQueue(Generic[T]):
    weight: float
    entries: list[Entry[T]] = field(default_factory=list)
    deficit_s: float = 0.0


class DeficitRoundRobin(Generic[T]):
    """Entries of several tenants, and whose turn it is. Not thread-safe."""

    def __init__(self) -> None:
        self._ring: dict[str, _TenantQueue[T]] = {}
        self._is_visiting_first = False
        """Whether the first tenant of the ring has got its quantum for the visit that is going on."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self) -> dict[str, int]:
        """Tenant -> how many of its entries wait; tenants without any are left out."""
        return {tenant: len(queue.entries) for tenant, queue in self._ring.items()}

    def heads(self) -> list[Entry[T]]:
        """The first entry of each tenant, in the order of the ring."""
        return [queue.entries[0] for queue in self._ring.values()]

    def entries(self) -> list[Entry[T]]:
        """All entries, in no order that means anything."""
        return [entry for queue in self._ring.values() for entry in queue.entries]

    def push(self, tenant: str, weight: float, price_s: float, order: tuple[int, int], item: T) -> Entry[T]:
        """Adds an entry; `weight` holds for all of the tenant's entries from now on."""
        entry = Entry(order, item, tenant, max(price_s, 1e-9))
        queue = self._ring.setdefault(tenant, _TenantQueue(weight))
        queue.weight = weight
        insort(queue.entries, entry)
        self._count += 1
        return entry

    def next(
        self, may_go: Callable[[Entry[T]], bool] = lambda head: True, passed_over: Collection[int] = ()
    ) -> Entry[T] | None:
        """The entry whose turn it is; None where there is none. It stays until it is taken or removed.

        `may_go` says by its first entry whether a tenant may be served at all; `passed_over` are `id`s of entries.
        """
        heads = [
            (tenant, queue, head)
            for tenant, queue in self._ring.items()
            if may_go(queue.entries[0])
            and (head := next((entry for entry in queue.entries if id(entry) not in passed_over), None))
        ]
        if not heads:
            return None
        if self._is_visiting_first and next(iter(self._ring)) == heads[0][0]:
            _, first, head = heads[0]
            if first.deficit_s >= head.price_s:
                return head
            heads.append(heads.pop(0))
        most_weight = max(queue.weight for _, queue, _ in heads)
        quanta = [QUANTUM_S * queue.weight / most_weight for _, queue, _ in heads]
        visits = [
            max(1.0, math.ceil((head.price_s - queue.deficit_s) / quantum))
            for (_, queue, head), quantum in zip(heads, quanta, strict=True)
        ]
        place = visits.index(min(visits))
        for other, ((_, queue, _), quantum) in enumerate(zip(heads, quanta, strict=True)):
            queue.deficit_s += quantum * (visits[place] - (other > place))
        winner, queue, head = heads[place]
        queue.deficit_s = max(queue.deficit_s, head.price_s)
        self._visit(winner)
        return head

    def take(self, entry: Entry[T]) -> None:
        """Serves an entry: its price is paid from its tenant's deficit."""
        self._ring[entry.tenant].deficit_s -= entry.price_s
        self.remove(entry)

    def remove(self, entry: Entry[T]) -> None:
        """Removes an entry. One that does not wait any more is left as it is."""
        if not entry.waits:
            return
        entry.waits = False
        queue = self._ring[entry.tenant]
        queue.entries.remove(entry)
        self._count -= 1
        if not queue.entries:
            self._is_visiting_first = self._is_visiting_first and next(iter(self._ring)) != entry.tenant
            del self._ring[entry.tenant]

    def _visit(self, tenant: str) -> None:
        """Turns the ring until the tenant is its first."""
        while next(iter(self._ring)) != tenant:
            passed = next(iter(self._ring))
            self._ring[passed] = self._ring.pop(passed)
        self._is_visiting_first = True
