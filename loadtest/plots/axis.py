"""Values to pixels, and values as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST_TICKS = 3


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def around(cls, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> Axis:
        """From `low` to `high`, or somewhat further where they are one or the axis is logarithmic."""
        if logarithmic:
            return cls(low * 0.8, high * 1.25, start, end, True)
        return cls(low, high if high > low else low + 1, start, end)

    def at(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            multiples = (1, 3) if self.high > 10 * self.low else (1, 2, 3, 5, 7)
            ticks = [t for e in exponents for m in multiples if self.low <= (t := m * 10.0**e) <= self.high]
            if len(ticks) >= FEWEST_TICKS:
                return ticks  # else the axis is so short that even steps do
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        # A product may lie some ulps outside, which is much where the range is small beside its values.
        return [min(max(n * step, self.low), self.high) for n in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def told(value: float) -> str:
    """With four digits at least, and never in powers of ten where it is large."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.4g}M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
