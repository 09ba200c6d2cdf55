"""How fast one replica is, learned from when its first tokens came.

An observation is an amount of work (features) and the seconds in which a busy replica did it. Two things are learned
from it. The scale, one number, is a weighted median over the last observations: half of them may be nonsense; and
when a handful in a row say the same other thing, the replica has changed, and only they count. The shape, how many
seconds each feature takes against the others, follows slowly by recursive least squares with exponential forgetting
(Haykin, Adaptive Filter Theory, ch. 10) on relative errors, each clipped as in Huber's M-estimator.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from deployments.routing.seeds import Seed
from deployments.routing.work import Floats

WINDOW = 32
CHANGE_AFTER = 5
CHANGE = 1.3
MOST_RATIO = 30.0
"""An observation that is further off than this says nothing about a speed."""

FORGETTING = 0.995
NOISE = 0.25
SHAPE_SPREAD = 0.5
"""How far a seed's features may be off against each other, as a share of themselves."""
CLIPPED_AT = 0.5
SHAPE_BOUND = 8.0

TOKEN_WINDOW = 32


class Rates:
    """Learned seconds of one replica. `theta` are the seconds of each feature, `token_s` those between two tokens."""

    def __init__(self, seed: Seed) -> None:
        self.seed = seed
        self.scale = 1.0
        self.observations = 0
        self.theta = seed.theta()
        self.token_s = seed.token_s
        self._shape = seed.theta()
        self._least, self._most = self._shape / SHAPE_BOUND, self._shape * SHAPE_BOUND
        self._covariance = np.diag((SHAPE_SPREAD * self._shape) ** 2) / NOISE**2
        self._widest = np.trace(self._covariance)
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._tokens: deque[float] = deque(maxlen=TOKEN_WINDOW)

    def observe(self, work: Floats, seconds: float) -> None:
        """Work (sum of features of the requests in it) that took so many seconds of a busy replica."""
        nominal = float(self._shape @ work)
        ratio = seconds / nominal
        if not 1 / MOST_RATIO <= ratio / self.scale <= MOST_RATIO:
            # Still a step in that direction: a seed may be wrong by more than any single observation.
            ratio = self.scale * (MOST_RATIO if ratio > self.scale else 1 / MOST_RATIO)
        self.observations += 1
        self._recent.append((ratio, nominal))
        self._drop_what_was_before_a_change()
        self.scale = _weighted_median(self._recent)
        self._learn_shape(work / nominal, ratio / self.scale)
        self.theta = self._shape * self.scale

    def observe_token(self, seconds: float) -> None:
        """The mean time between two tokens of one answer."""
        self._tokens.append(seconds)
        self.token_s = sorted(self._tokens)[len(self._tokens) // 2]

    def _drop_what_was_before_a_change(self) -> None:
        if len(self._recent) <= CHANGE_AFTER:
            return
        last = [ratio / self.scale for ratio, _ in list(self._recent)[-CHANGE_AFTER:]]
        if min(last) > CHANGE or max(last) < 1 / CHANGE:
            kept = list(self._recent)[-CHANGE_AFTER:]
            self._recent.clear()
            self._recent.extend(kept)

    def _learn_shape(self, work: Floats, relative: float) -> None:
        """`work` in parts of the nominal seconds, so that the expected `relative` is 1 and every error is relative."""
        error = float(np.clip(relative - 1.0, -CLIPPED_AT, CLIPPED_AT))
        spread = self._covariance @ work
        gain = spread / (FORGETTING + float(work @ spread))
        self._shape = np.clip(self._shape + gain * error, self._least, self._most)
        self._covariance = (self._covariance - np.outer(gain, spread)) / FORGETTING
        # Without news of a feature its variance would grow for ever.
        if (trace := np.trace(self._covariance)) > self._widest:
            self._covariance *= self._widest / trace


def _weighted_median(values: deque[tuple[float, float]]) -> float:
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    for value, weight in ordered:
        half -= weight
        if half <= 0:
            return value
    return ordered[-1][0]
