"""A load that rises tenfold, stays, falls, and ends, over two pools of different cost, by the scaler of serving in the
simulator: how many requests are in time, and what that costs beside an oracle.

The oracle knows the load to come. At each moment it has the smallest fleet, the cheaper pool first, that by itself has
nineteen of twenty requests in time at that rate, by simulation; its replicas are started just in time, and that
time counts. Means over seeds; a replica-second counts at its pool's cost.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from cluster.fleet import Autoscaling
from deployments.autoscaling import PoolSize
from loadtest.latency import Slo
from loadtest.simulator.fleets import Member, SimulatedFleet
from loadtest.simulator.run import Settings, simulate
from loadtest.simulator.scaling import ScaledOutcome, ScaledPool, simulate_scaled
from loadtest.simulator.speeds import SPEEDS
from loadtest.traces.trace import TraceRequest

SEEDS = 3
LOW_PER_S, TIMES = 2.5, 10.0
FLAT_S, RAMP_S, PEAK_S, SILENT_S = 600.0, 900.0, 900.0, 1800.0
END_S = FLAT_S + RAMP_S + PEAK_S + RAMP_S + FLAT_S
STARTUP_S = 60.0
IN_TIME = 0.95
SLO = Slo(ttft_s=2.0, tpot_s=0.08)

CHEAP, DEAR = (
    ScaledPool(PoolSize(name, cost, slots, 0, most), Member(name, name, SPEEDS[accelerator], slots), STARTUP_S)
    for name, cost, slots, most, accelerator in (("cheap", 1.0, 64, 2, "h200"), ("dear", 4.0, 160, 4, "b200"))
)
SETTINGS = Autoscaling(target_busy=0.75, up_window_s=20, down_window_s=240, to_zero_after_s=120, margin=0.15)


def rate_at(second: float) -> float:
    """Requests a second."""
    if second > END_S:
        return 0.0
    since_peak = min(second - FLAT_S, END_S - FLAT_S - second)
    return LOW_PER_S * (1 + (TIMES - 1) * min(1.0, max(0.0, since_peak / RAMP_S)))


def requests(seed: int, rate: float | None = None, seconds: float = END_S) -> list[TraceRequest]:
    """Poisson arrivals at `rate`, by default that of the profile; prompts and answers of chats."""
    return list(_requests(random.Random(seed), rate, seconds))


def _requests(draw: random.Random, rate: float | None, seconds: float) -> Iterator[TraceRequest]:
    most = LOW_PER_S * TIMES if rate is None else rate
    at = 0.0
    while (at := at + draw.expovariate(most)) < seconds:
        if rate is None and draw.random() * most > rate_at(at):
            continue
        yield TraceRequest(
            at, min(8000, int(draw.lognormvariate(7.0, 0.8)) + 1), min(800, int(draw.expovariate(1 / 200)) + 2)
        )


@dataclass(frozen=True)
class Fleet:
    cheap: int
    dear: int

    @property
    def cost(self) -> float:
        return self.cheap * CHEAP.size.cost + self.dear * DEAR.size.cost

    def members(self) -> SimulatedFleet:
        cheap = [CHEAP.replica(number) for number in range(self.cheap)]
        return SimulatedFleet("oracle", (*cheap, *(DEAR.replica(number) for number in range(self.dear))))


def grown(size: int) -> Fleet:
    """Of so many replicas, the cheaper ones first."""
    return Fleet(min(size, CHEAP.size.most), max(0, size - CHEAP.size.most))


@cache
def enough_for(rate: float) -> int:
    """Replicas of the smallest fleet that keeps enough requests in time at this rate; none for no load."""
    if rate <= 0:
        return 0
    size = 1
    while in_time_of(simulate(grown(size).members(), requests(99, rate, max(300.0, 600 / rate))).timings) < IN_TIME:
        size += 1
    return size


def in_time_of(timings: list) -> float:  # type: ignore[type-arg]
    return sum(map(SLO.is_met, timings)) / len(timings)


def oracle() -> tuple[float, float]:
    """Cost x seconds of the whole run, and replica-seconds, the starts included."""
    cost = seconds = 0.0
    before = grown(0)
    for second in range(int(END_S) + 1):
        now = grown(enough_for(math.ceil(rate_at(second) * 2) / 2))
        cost += now.cost + STARTUP_S * max(0.0, now.cost - before.cost)
        seconds += now.cheap + now.dear + STARTUP_S * max(0, now.cheap + now.dear - before.cheap - before.dear)
        before = now
    return cost, seconds


def dear_outside_peak(ran: ScaledOutcome) -> float:
    """Share of the dear pool's replica-seconds at times when the cheap pool alone would have been enough."""
    spent = outside = 0.0
    for life in ran.lives:
        if life.pool == "dear":
            for second in range(int(life.since), int(min(life.until, ran.outcome.ended_at))):
                spent += 1
                outside += enough_for(math.ceil(rate_at(second) * 2) / 2) <= CHEAP.size.most
    return outside / spent if spent else 0.0


def turns(ran: ScaledOutcome) -> int:
    """How often growth follows shrinking or shrinking growth."""
    totals = [sum(size.values()) for _, size in ran.sizes]
    changes = [b - a for a, b in itertools.pairwise(totals) if a != b]
    return sum(a * b < 0 for a, b in itertools.pairwise(changes))


def run() -> dict[str, float]:
    best_cost, best_seconds = oracle()
    # As serving, which knows an accelerator's speed roughly before its first request.
    known = Settings(rates="known")
    runs = [
        simulate_scaled([CHEAP, DEAR], SETTINGS, requests(seed), END_S + SILENT_S, settings=known)
        for seed in range(SEEDS)
    ]
    seconds = [ran.replica_seconds("cheap") + ran.replica_seconds("dear") for ran in runs]
    cost = [ran.replica_seconds("cheap") + DEAR.size.cost * ran.replica_seconds("dear") for ran in runs]
    return {
        "requests": statistics.mean(len(ran.outcome.trips) for ran in runs),
        "in time": statistics.mean(in_time_of(ran.outcome.timings) for ran in runs),
        "dropped": sum(not timing.ok for ran in runs for timing in ran.outcome.timings),
        "replicas at the peak": statistics.mean(max(sum(size.values()) for _, size in ran.sizes) for ran in runs),
        "replicas at the end": statistics.mean(sum(ran.sizes[-1][1].values()) for ran in runs),
        "turns between growing and shrinking": statistics.mean(map(turns, runs)),
        "dear pool, share outside of the peak": statistics.mean(map(dear_outside_peak, runs)),
        "replica-seconds / oracle's": statistics.mean(seconds) / best_seconds,
        "cost / oracle's": statistics.mean(cost) / best_cost,
        "oracle's replicas at the peak": enough_for(LOW_PER_S * TIMES),
    }
