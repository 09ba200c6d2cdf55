"""What a router has learned of its replicas' speeds, as it hands it on to one that has just started."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True, slots=True)
class LearnedScale:
    """Of one replica: see `rates.Scale`.

    Attributes:
        value: its scale; rests on `weight` observations, of `nominal_s` seconds each on average.
        token_s: between two tokens of one of its answers.
    """

    value: float
    weight: int
    nominal_s: float
    token_s: float

    @property
    def usable(self) -> bool:
        numbers = (self.value, self.nominal_s, self.token_s)
        return all(isfinite(number) and number > 0 for number in numbers) and self.weight > 0


@dataclass(frozen=True, slots=True)
class LearnedPool:
    """Of one pool: see `rates.PoolRates`.

    Attributes:
        observations: that all of it rests on.
        shape: seconds of each feature at scale 1.
        step_ratio: how many times as long as its seed says its decode steps are; None where no answer has ended.
        scales: of its replicas that have been observed, by incarnation.
    """

    observations: int
    shape: list[float]
    step_ratio: float | None
    scales: dict[str, LearnedScale]
