"""The random quantities that traces are made of.

All come from `random.Random`, so that a seed gives the same trace whatever the version of numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Literal

from loadtest.traces.generators.base import Settings

Popularity = Literal["uniform", "zipf"]


def arrivals(settings: Settings, rng: Random, rate: float | None = None) -> Callable[[], float]:
    """Each call gives the next time of arrival, in seconds; `rate` (default: that of the settings) is per second."""
    mean = 1 / (rate or settings.rate)
    shape = settings.burstiness**-2
    gap: dict[str, Callable[[], float]] = {
        "poisson": lambda: rng.expovariate(1 / mean),
        "gamma": lambda: rng.gammavariate(shape, mean / shape),
        "even": lambda: mean,
    }
    next_gap, now = gap[settings.arrivals], 0.0

    def arrive() -> float:
        nonlocal now
        arrived, now = now, now + next_gap()
        return arrived

    return arrive


def length(rng: Random, mean: float, spread: float) -> int:
    """A length of 1 or more, lognormal with that mean; `spread` is the sigma of its logarithm."""
    return max(1, round(mean * math.exp(rng.gauss(-(spread**2) / 2, spread)))) if spread else max(1, round(mean))


def choice(rng: Random, items: int, popularity: Popularity, exponent: float) -> Callable[[], int]:
    """Each call gives one of 0..items-1; by Zipf's law number n is chosen in proportion to (n + 1) ** -exponent."""
    weight: dict[Popularity, Callable[[int], float]] = {
        "uniform": lambda _: 1.0,
        "zipf": lambda number: (number + 1) ** -exponent,
    }
    numbers = range(items)
    cumulative = list(accumulate(map(weight[popularity], numbers)))
    return lambda: rng.choices(numbers, cum_weights=cumulative)[0]
