"""How an online test stands: latencies of what was answered, and whether its limits hold so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from loadtest.benchmarks.base import Online
from loadtest.client import Outcome

PERCENTILE = 99


def ttft_s(outcome: Outcome) -> float:
    """Counted from when it was due; NaN without a first token."""
    return outcome.first - outcome.due


def tpot_s(outcome: Outcome) -> float:
    """NaN without a second token, or without a first."""
    tokens = outcome.answer.tokens if outcome.answer else 0
    return (outcome.finished - outcome.first) / (tokens - 1) if tokens > 1 else math.nan


def e2e_s(outcome: Outcome) -> float:
    return outcome.finished - outcome.due


@dataclass
class Standing:
    """Fills as outcomes come; failed ones are counted, and have no latency."""

    limits: Online
    issued: int = 0
    answered: int = 0
    failed: int = 0
    tokens: int = 0
    ttft_s: list[float] = field(default_factory=list)
    tpot_s: list[float] = field(default_factory=list)
    e2e_s: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        if outcome.answer is None:
            self.failed += 1
            return
        self.answered += 1
        self.tokens += outcome.answer.tokens
        for values, value in (
            (self.ttft_s, ttft_s(outcome)),
            (self.tpot_s, tpot_s(outcome)),
            (self.e2e_s, e2e_s(outcome)),
        ):
            if not math.isnan(value):
                values.append(value)

    @property
    def in_flight(self) -> int:
        return self.issued - self.answered - self.failed

    def broken(self) -> list[str]:
        """The limits that are not kept, each with its figure; a failure breaks the test too."""
        found = [
            f"{name} p{PERCENTILE} {figure:.4g} s, limit {limit:g} s"
            for name, values, limit in self._limited()
            if (figure := percentile(values)) >= limit
        ]
        return found + ([f"{self.failed} failed"] if self.failed else [])

    def _limited(self) -> Iterable[tuple[str, list[float], float]]:
        for name, values, limit in (
            ("TTFT", self.ttft_s, self.limits.ttft_s),
            ("TPOT", self.tpot_s, self.limits.tpot_s),
            ("E2E", self.e2e_s, self.limits.e2e_s),
        ):
            if limit is not None:
                yield name, values, limit


def percentile(values: list[float], rank: float = PERCENTILE) -> float:
    """NaN of nothing."""
    return float(np.percentile(values, rank)) if values else math.nan
