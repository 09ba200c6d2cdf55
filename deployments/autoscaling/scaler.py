"""One policy over all pools of a model: enough replicas for the load, the cheapest first.

What a pool's replicas are busy with is measured in three ways, each against what a replica is meant for, and the
largest counts: sequences that run or wait, against its slots; blocks in use, against its KV cache; and seconds of
prompts booked there in a second, at its own learned speed. Decoding fills the first two, prompts and audio the third.
The sum over pools, in slots, and what waits at the gateways is the load.

What is wanted rises with the load of the last seconds and falls only as far as all of the last minutes allow (the
stabilisation window of Kubernetes' HorizontalPodAutoscaler), and a margin less; so a load that comes and goes within
that window moves nothing. Nor does it rise above a multiple of the replicas that are there: what waits while others
start would call for ever more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.fleet import Autoscaling, Model
from deployments.autoscaling.recent import RecentMax, RecentMean, SummedRate

LEAST_WINDOW_S = 2.0
"""Over which a rate is taken at least: in less there may be a single request."""


@dataclass(frozen=True)
class PoolSize:
    """What a pool may be. `cost`: of a replica for some time, in whatever unit; `slots`: of a replica."""

    name: str
    cost: float
    slots: int
    least: int
    most: int


@dataclass(frozen=True)
class PoolLoad:
    """Of all replicas of a pool together.

    Attributes:
        running, waiting: sequences in engines.
        kv_use: the sum of the shares of their KV caches that are in use.
        booked_s: seconds of prompts, at its replicas' own speed, that each gateway process has ever sent there.
    """

    replicas: int = 0
    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0
    booked_s: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: PoolLoad) -> PoolLoad:
        return PoolLoad(
            self.replicas + other.replicas,
            self.running + other.running,
            self.waiting + other.waiting,
            self.kv_use + other.kv_use,
            {**self.booked_s, **other.booked_s},
        )


class Scaler:
    """The pools of one model. Times are seconds on any clock that does not go back."""

    def __init__(self, pools: Sequence[PoolSize], settings: Autoscaling, now: float) -> None:
        self.settings = settings
        self._pools = sorted(pools, key=lambda pool: (pool.cost / pool.slots, pool.name))
        self._began = now
        self._mean = RecentMean(settings.up_window_s)
        self._busy = {pool.name: SummedRate(max(settings.up_window_s, LEAST_WINDOW_S)) for pool in pools}
        self._ample = {pool.name: RecentMax(settings.down_window_s) for pool in pools}
        self._busy_at = -math.inf
        self._wanted: dict[str, int] | None = None

    def wanted(self, now: float, loads: Mapping[str, PoolLoad], at_gateways: int) -> dict[str, int]:
        """Pool -> replicas, from what its replicas report and from how many requests wait at the gateways."""
        told = {pool.name: loads.get(pool.name, PoolLoad()) for pool in self._pools}
        if self._wanted is None:
            self._wanted = {p.name: min(p.most, max(p.least, told[p.name].replicas)) for p in self._pools}
        slots = self._slots(now, told, at_gateways)
        enough, ample = self._fill(slots), self._fill(slots * (1 + self.settings.margin))
        if not sum(enough.values()) and now - self._busy_at < self.settings.to_zero_after_s:
            enough = ample = self._fill(1)
        known = now - self._began >= self.settings.down_window_s
        for name, have in self._wanted.items():
            highest = int(self._ample[name].take(now, ample[name]))
            self._wanted[name] = max(enough[name], min(have, highest) if known else have)
        return dict(self._wanted)

    def _slots(self, now: float, told: Mapping[str, PoolLoad], at_gateways: int) -> float:
        """Slots that the load of the last seconds asks for."""
        if at_gateways or any(load.running or load.waiting for load in told.values()):
            self._busy_at = now
        asked = at_gateways / self.settings.target_use
        asked += sum(self._asked(pool, told[pool.name], now) for pool in self._pools)
        # What has gathered while replicas start is no measure of what comes.
        there = sum(told[pool.name].replicas * pool.slots for pool in self._pools)
        asked = min(asked, self.settings.growth * there if there else 1.0)
        mean = self._mean.take(now, asked)
        assert self._wanted is not None
        # A model without a replica has no time to lose.
        return mean if any(self._wanted.values()) else max(mean, asked)

    def _asked(self, pool: PoolSize, load: PoolLoad, now: float) -> float:
        """Slots of this pool that it is busy with, as a replica is meant to be."""
        settings = self.settings
        replicas = max(
            (load.running + load.waiting) / (pool.slots * settings.target_use),
            load.kv_use / settings.target_kv_use,
            self._busy[pool.name].take(now, load.booked_s) / settings.target_busy,
        )
        return replicas * pool.slots

    def _fill(self, slots: float) -> dict[str, int]:
        """The least that each pool has to have, and then replicas of the cheapest until there are enough slots."""
        wanted = {pool.name: pool.least for pool in self._pools}
        left = slots - sum(pool.least * pool.slots for pool in self._pools)
        for pool in self._pools:
            if left <= 0:
                break
            more = min(pool.most - pool.least, math.ceil(left / pool.slots))
            wanted[pool.name] += more
            left -= more * pool.slots
        return wanted


def sizes_of(model: Model) -> list[PoolSize]:
    return [PoolSize(p.name, p.cost, p.slots, p.min_replicas, p.most_replicas) for p in model.pools]
