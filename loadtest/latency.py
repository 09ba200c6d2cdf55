"""What an answer's times say: time to first token, time per token, and whether it came within what was promised."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PrefillTime = Callable[[int], float]
"""Prompt length in tokens -> seconds that its prefill takes with nothing cached, at the fleet's mean rate."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One request's times, in seconds on one clock.

    Attributes:
        at_s: when it arrived, or was due to leave: what it waited before it was sent counts.
        first_token_s: when its first token came; NaN where none did.
        end_s: when its last token came, or it was given up.
        cached_tokens: input tokens that the engine did not have to prefill.
        ok: whether the whole answer came.
    """

    at_s: float
    first_token_s: float
    end_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    ok: bool = True

    @property
    def ttft_s(self) -> float:
        """Time to first token; NaN where none came."""
        return self.first_token_s - self.at_s

    @property
    def tpot_s(self) -> float:
        """Mean time per output token after the first; NaN where there is no second one."""
        return (self.end_s - self.first_token_s) / (self.output_tokens - 1) if self.output_tokens > 1 else math.nan

    @property
    def e2e_s(self) -> float:
        """From arrival to the end."""
        return self.end_s - self.at_s


@dataclass(frozen=True)
class Slo:
    """What a request is promised. A long prompt may take `prefill_multiple` times its own uncached prefill."""

    ttft_s: float = 2.0
    tpot_s: float = 0.08
    prefill_multiple: float = 3.0

    def ttft_limit_s(self, prefill_s: float) -> float:
        return max(self.ttft_s, self.prefill_multiple * prefill_s)

    def is_met(self, timing: Timing, prefill_s: float = 0.0) -> bool:
        """False for a failed request. An answer of one token has no time per token to keep."""
        return (
            timing.ok
            and timing.ttft_s <= self.ttft_limit_s(prefill_s)
            and not timing.tpot_s > self.tpot_s  # NaN, where there is no second token, is no breach
        )


@dataclass(frozen=True)
class Quantiles:
    """Of a sample; linear interpolation between its values."""

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Quantiles | None:
        """NaNs are left out. None where nothing is left."""
        array = np.fromiter(values, float)
        array = array[~np.isnan(array)]
        if not array.size:
            return None
        p50, p90, p99 = (float(value) for value in np.percentile(array, (50, 90, 99)))
        return cls(float(array.mean()), p50, p90, p99)


@dataclass(frozen=True)
class Latencies:
    """Requests in figures. Times are those of whole answers only; a failed request misses its promise.

    Attributes:
        goodput_per_s: requests within the SLO per second.
        slo_share: of all requests, those within the SLO.
        token_hit_rate: of the input tokens of whole answers, those that were cached.
    """

    requests: int
    failed: int
    seconds: float
    requests_per_s: float
    output_tokens_per_s: float
    goodput_per_s: float
    slo_share: float
    ttft_s: Quantiles | None
    tpot_s: Quantiles | None
    e2e_s: Quantiles | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    token_hit_rate: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def latencies(
    timings: Sequence[Timing],
    slo: Slo,
    prefill_s: PrefillTime = lambda _: 0.0,
    seconds: float | None = None,
) -> Latencies:
    """The figures of these requests. `seconds` (default: from the first arrival to the last end) is what rates are
    over: give the whole run's where these are a part of it."""
    whole = [timing for timing in timings if timing.ok]
    if seconds is None:
        seconds = max((t.end_s for t in timings), default=0.0) - min((t.at_s for t in timings), default=0.0)
    kept = sum(slo.is_met(timing, prefill_s(timing.input_tokens)) for timing in whole)
    input_tokens = sum(timing.input_tokens for timing in whole)
    output_tokens = sum(timing.output_tokens for timing in whole)
    cached_tokens = sum(timing.cached_tokens for timing in whole)
    return Latencies(
        requests=len(timings),
        failed=len(timings) - len(whole),
        seconds=seconds,
        requests_per_s=_ratio(len(whole), seconds),
        output_tokens_per_s=_ratio(output_tokens, seconds),
        goodput_per_s=_ratio(kept, seconds),
        slo_share=_ratio(kept, len(timings)),
        ttft_s=Quantiles.of(timing.ttft_s for timing in whole),
        tpot_s=Quantiles.of(timing.tpot_s for timing in whole),
        e2e_s=Quantiles.of(timing.e2e_s for timing in whole),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        token_hit_rate=_ratio(cached_tokens, input_tokens),
    )


def imbalance(loads: Collection[float]) -> float:
    """The largest load over the mean one: 1 where all are equal. Name idle replicas too, with 0."""
    total = sum(loads)
    return max(loads) * len(loads) / total if total else 1.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
