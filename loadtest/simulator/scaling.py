"""A simulated fleet that grows and shrinks by the scaler of serving.

What serving has between a decision and its effect is here, too: a replica takes its time to start, and costs from then
on; one that goes takes nothing new, and costs until the last of its answers has ended.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

from cluster.fleet import Autoscaling
from deployments.autoscaling import PoolLoad, PoolSize, Scaler
from deployments.routing.policy import Policy
from loadtest.simulator.fleets import Member, SimulatedFleet
from loadtest.simulator.run import Outcome, Run, Settings
from loadtest.traces.trace import TraceRequest

LOOK_EVERY_S = 1.0
"""Between two looks at the load, as in serving."""
GATEWAY = "gateway"
"""The one that a simulation has."""


@dataclass(frozen=True)
class ScaledPool:
    """A pool, what one of its replicas is, and the seconds that it takes to start."""

    size: PoolSize
    member: Member
    startup_s: float

    def replica(self, number: int) -> Member:
        return replace(self.member, name=f"{self.size.name}-{number}", pool=self.size.name)


@dataclass
class Life:
    """One replica's: `until` is infinite while it lasts."""

    pool: str
    since: float
    until: float = math.inf


@dataclass(frozen=True)
class ScaledOutcome:
    """`sizes`: (time, pool -> replicas that were wanted from then on), each time that it changed."""

    outcome: Outcome
    lives: list[Life]
    sizes: list[tuple[float, dict[str, int]]]

    def replica_seconds(self, pool: str) -> float:
        end = self.outcome.ended_at
        return sum(min(life.until, end) - life.since for life in self.lives if life.pool == pool)


def simulate_scaled(
    pools: SequenceOf[ScaledPool],
    autoscaling: Autoscaling,
    requests: SequenceOf[TraceRequest],
    until_s: float = 0.0,
    policy: Policy | str = "seconds",
    settings: Settings | None = None,
) -> ScaledOutcome:
    """All requests to their ends, and on to `until_s`. The fleet begins as small as it may be."""
    run = _ScaledRun(pools, autoscaling, requests, until_s, policy, settings or Settings())
    outcome = run.to_the_end()
    return ScaledOutcome(outcome, run.lives, run.sizes)


class _ScaledRun(Run):
    def __init__(
        self,
        pools: SequenceOf[ScaledPool],
        autoscaling: Autoscaling,
        requests: SequenceOf[TraceRequest],
        until_s: float,
        policy: Policy | str,
        settings: Settings,
    ) -> None:
        self.pools = {pool.size.name: pool for pool in pools}
        self.scaler = Scaler([pool.size for pool in pools], autoscaling, 0.0)
        self.until_s = until_s
        self.lives: list[Life] = []
        self.sizes: list[tuple[float, dict[str, int]]] = []
        self._starting: list[tuple[float, int, str]] = []
        """When it is ready, its number, its pool; the next one first."""
        self._life_of: dict[int, Life] = {}
        self._counted = 0
        self._next_look = 0.0
        # The largest member stands for all where a request is checked against what fits.
        super().__init__(
            SimulatedFleet("scaled", tuple(pool.replica(-1) for pool in pools)), requests, policy, settings
        )
        for name in list(self._numbers):
            self._leave(self._numbers[name])

    def _going_on(self) -> bool:
        return self._open > 0 or self.now < self.until_s

    def _tick_at(self) -> float:
        ready = self._starting[0][0] if self._starting else math.inf
        return min(ready, self._next_look)

    def _tick(self) -> None:
        while self._starting and self._starting[0][0] <= self.now:
            _, number, pool = self._starting.pop(0)
            self._add(self.pools[pool].replica(number))
            self._life_of[len(self.engines) - 1] = self.lives[number]
        if self._next_look <= self.now:
            self._next_look = self.now + LOOK_EVERY_S
            self._retire()
            self._resize(self.scaler.wanted(self.now, self._loads(), len(self._waiting)))
        self._place_waiting()

    def _loads(self) -> dict[str, PoolLoad]:
        loads = {name: PoolLoad(booked_s={GATEWAY: self.router.booked_s.get(name, 0.0)}) for name in self.pools}
        for number, life in self._life_of.items():
            if number not in self.left:
                engine = self.engines[number]
                use = engine.blocks.in_use / engine.blocks.count
                loads[life.pool] += PoolLoad(1, len(engine.running), len(engine.waiting), use)
        return loads

    def _resize(self, wanted: dict[str, int]) -> None:
        if not self.sizes or self.sizes[-1][1] != wanted:
            self.sizes.append((self.now, wanted))
        for pool, count in wanted.items():
            starting = [entry for entry in self._starting if entry[2] == pool]
            there = [n for n, life in self._life_of.items() if life.pool == pool and n not in self.left]
            for _ in range(count - len(starting) - len(there)):
                insort(self._starting, (self.now + self.pools[pool].startup_s, self._counted, pool))
                self.lives.append(Life(pool, self.now))
                self._counted += 1
            surplus = len(starting) + len(there) - count
            # Serve, too, stops first what has not started yet.
            for entry in sorted(starting, reverse=True)[: max(0, surplus)]:
                self._starting.remove(entry)
                self.lives[entry[1]].until = self.now
                surplus -= 1
            for number in sorted(there, key=lambda n: self.engines[n].live)[: max(0, surplus)]:
                self._leave(number)

    def _leave(self, number: int) -> None:
        self.router.remove(self.replicas[number].incarnation)
        self.left.add(number)

    def _retire(self) -> None:
        """Those that have left and have nothing more to do."""
        on_the_way = {trip.engine for _, _, trip in self._sent}
        for number in self.left & self._life_of.keys():
            life = self._life_of[number]
            if life.until == math.inf and not self.engines[number].live and number not in on_the_way:
                life.until = self.now
