"""Which replicas there are now: they announce themselves here by heartbeats, and gateways watch."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.fleet import Fleet
from deployments.autoscaling.control import Door, Scaling

LIFETIME_S = 10.0
"""A replica that has not been heard of for so long is gone. Long, because a busy machine delays heartbeats, and short
failures are the gateway's to notice: it passes over a replica that refuses a connection."""

SETTLING_S = 3.0
"""A registry younger than this may not have heard every replica yet: its list adds, and takes nothing away."""


WITHDRAWN_KEPT = 256
"""A heartbeat may still be under way when its replica withdraws: it must not list it again."""


@dataclass
class _Entry:
    replica_info: dict[str, Any]
    load: dict[str, Any]
    heard: float


class Registry:
    """The list of live replicas, in memory. A restarted one is filled by the next heartbeats."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._gateways: dict[str, float] = {}
        self._doors: dict[str, tuple[float, list[Door]]] = {}
        self._withdrawn: deque[str] = deque(maxlen=WITHDRAWN_KEPT)
        self._version = secrets.randbits(48)  # a restarted registry never repeats a version that someone has seen
        self._changed = asyncio.Event()
        self._born = time.monotonic()

    def heartbeat(self, replica_info: dict[str, Any], load: dict[str, Any]) -> None:
        """Announces a replica, or tells that it still lives and how busy it is."""
        incarnation = replica_info["incarnation"]
        if incarnation in self._withdrawn:
            return
        known = self._entries.get(incarnation)
        self._entries[incarnation] = _Entry(replica_info, load, time.monotonic())
        if known is None or known.load != load or known.replica_info != replica_info:
            self._change()

    def gateway(self, endpoint: str) -> None:
        """A gateway lives, and publishes its bookings there."""
        if endpoint not in self._gateways:
            self._change()
        self._gateways[endpoint] = time.monotonic()

    def tell_doors(self, watcher: str, doors: list[Door]) -> None:
        """What a gateway tells of each model."""
        self._doors[watcher] = time.monotonic(), doors

    def watchers(self) -> set[str]:
        """Gateways that were heard of lately."""
        oldest = time.monotonic() - LIFETIME_S
        self._doors = {watcher: told for watcher, told in self._doors.items() if told[0] >= oldest}
        return set(self._doors)

    def doors(self) -> list[Door]:
        """Of all of these gateways."""
        self.watchers()
        return [door for _, doors in self._doors.values() for door in doors]

    @property
    def settled(self) -> bool:
        return time.monotonic() - self._born > SETTLING_S

    def loads(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Info and load of each live replica."""
        self._expire()
        return [(entry.replica_info, entry.load) for entry in self._entries.values()]

    def withdraw(self, incarnation: str) -> None:
        """Takes a replica off the list for good: it ended, or it serves only what it has."""
        self._withdrawn.append(incarnation)
        self._remove(incarnation)

    def _remove(self, incarnation: str) -> None:
        if self._entries.pop(incarnation, None):
            self._change()

    async def watch(self, seen: int, timeout_s: float = 2.0) -> dict[str, Any]:
        """Waits until the list differs from version `seen`, or for `timeout_s`, and answers with all of it."""
        self._expire()
        if self._version == seen:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                self._expire()
        replicas = [{"replica_info": e.replica_info, "load": e.load} for e in self._entries.values()]
        gateways = list(self._gateways)
        return {"version": self._version, "settled": self.settled, "replicas": replicas, "gateways": gateways}

    def _expire(self) -> None:
        oldest = time.monotonic() - LIFETIME_S
        silent = [incarnation for incarnation, entry in self._entries.items() if entry.heard < oldest]
        for incarnation in silent:
            self._remove(incarnation)
        gone = [endpoint for endpoint, heard in self._gateways.items() if heard < oldest]
        for endpoint in gone:
            del self._gateways[endpoint]
            self._change()

    def _change(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class RegistryReplica:
    """The registry as Serve runs it: asynchronous methods, so that all of them share one event loop."""

    def __init__(self, fleet: dict[str, Any]) -> None:
        self._registry = Registry()
        self._scaling = Scaling(Fleet.model_validate(fleet), time.monotonic())

    async def heartbeat(self, replica_info: dict[str, Any], load: dict[str, Any]) -> None:
        self._registry.heartbeat(replica_info, load)

    async def withdraw(self, incarnation: str) -> None:
        self._registry.withdraw(incarnation)

    async def watch(
        self, seen: int, gateways: Sequence[str] = (), watcher: str = "", doors: list[Door] | None = None
    ) -> dict[str, Any]:
        """`gateways`: where those of the watcher publish their bookings; watching is their heartbeat.

        `doors`: what they report of each model.
        """
        for gateway in gateways:
            self._registry.gateway(gateway)
        if doors is not None:
            self._registry.tell_doors(watcher, doors)
        return await self._registry.watch(seen)

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """How large each pool should be, for Serve's controller. Nothing before all that live had time to say so."""
        if not self._registry.settled:
            return {}
        return self._scaling.wanted(time.monotonic(), self._registry.loads(), self._registry.doors())
