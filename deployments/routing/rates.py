"""How fast replicas are, learned from when their first tokens came.

An observation is an amount of work (features) and the seconds in which a busy replica did it. Two things are learned.

The scale, one number for each replica: a weighted median over its last observations, so that half of them may be
nonsense; and when a handful in a row say the same other thing, the replica has changed, and only they count. The fewer
they are, the more it leans on the usual scale of its pool: a replica that has just come is taken to be as fast as its
neighbours have been seen to be.

The shape, how many seconds each feature takes against the others, is the same for all of a pool, which run one model
on one kind of hardware. It follows by recursive least squares with exponential forgetting (Haykin, Adaptive Filter
Theory, ch. 10) on relative errors, each clipped as in Huber's M-estimator.

A pool that has not been observed yet takes the usual scale of those that have: seeds are for a large model, and how
much faster or slower this one is than they say is much the same on every kind of hardware.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from deployments.routing.seeds import Seed
from deployments.routing.table import ReplicaTable
from deployments.routing.work import Floats

WINDOW = 32
CHANGE_AFTER = 5
CHANGE = 1.3
MOST_RATIO = 30.0
"""A single observation moves a scale by no more than this factor."""

FORGETTING = 0.998
NOISE = 0.25
SHAPE_SPREAD = 0.5
"""How far a seed's features may be off against each other, as a share of themselves."""
CLIPPED_AT = 0.5
SHAPE_BOUND = 8.0

SETTLED = 64
SETTLED_EVERY = 4
"""Once a pool's shape has followed so many observations it follows every fourth: it hardly moves any more."""

TOKEN_WINDOW = 32


class Scale:
    """One replica's speed against its pool's shape, and the time between two tokens of its answers."""

    def __init__(self, token_s: float) -> None:
        self.value = 1.0
        self.token_s = token_s
        self.observations = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._tokens: deque[float] = deque(maxlen=TOKEN_WINDOW)

    @property
    def weight(self) -> int:
        """Observations that the value rests on."""
        return len(self._recent)

    def observe(self, ratio: float, nominal_s: float) -> None:
        """Work of so many seconds by the shape alone took `ratio` times as long."""
        self.observations += 1
        if self._recent:
            ratio = min(max(ratio, self.value / MOST_RATIO), self.value * MOST_RATIO)
        self._recent.append((ratio, nominal_s))
        self._drop_what_was_before_a_change()
        self.value = _weighted_median(self._recent)

    def observe_token(self, seconds: float) -> None:
        """The mean time between two tokens of one answer."""
        self._tokens.append(seconds)
        self.token_s = sorted(self._tokens)[len(self._tokens) // 2]

    def _drop_what_was_before_a_change(self) -> None:
        if len(self._recent) <= CHANGE_AFTER:
            return
        last = [ratio / self.value for ratio, _ in list(self._recent)[-CHANGE_AFTER:]]
        if min(last) > CHANGE or max(last) < 1 / CHANGE:
            kept = list(self._recent)[-CHANGE_AFTER:]
            self._recent.clear()
            self._recent.extend(kept)


class Shape:
    """Seconds of each feature at scale 1."""

    def __init__(self, seed: Floats) -> None:
        self.seconds = seed.copy()
        self._least, self._most = seed / SHAPE_BOUND, seed * SHAPE_BOUND
        self._covariance = np.diag((SHAPE_SPREAD * seed) ** 2) / NOISE**2
        self._widest = self._covariance.diagonal().copy()

    def observe(self, work: Floats, relative: float) -> None:
        """`work` in parts of its nominal seconds, so that the expected `relative` is 1 and every error is relative."""
        error = min(max(relative - 1.0, -CLIPPED_AT), CLIPPED_AT)
        spread = self._covariance @ work
        gain = spread / (FORGETTING + float(work @ spread))
        self.seconds = np.minimum(np.maximum(self.seconds + gain * error, self._least), self._most)
        self._covariance = (self._covariance - np.outer(gain, spread)) / FORGETTING
        # Without news of a feature its variance would grow for ever.
        growth = np.sqrt(np.maximum(self._covariance.diagonal() / self._widest, 1.0))
        self._covariance /= np.outer(growth, growth)


class PoolRates:
    """The rates of one pool's replicas, kept in the table's `theta` and `token_s`."""

    def __init__(self, table: ReplicaTable, seed: Seed, pools: Mapping[str, PoolRates] | None = None) -> None:
        """`pools`: all of the model's, this one among them once it is made."""
        self.seed = seed
        self.shape = Shape(seed.theta())
        self.scales: dict[int, Scale] = {}
        self._table = table
        self._pools = {} if pools is None else pools
        self._observations = 0
        self._rows = np.empty(0, np.int64)

    @property
    def usual(self) -> float | None:
        """The middle one of its replicas' scales; None where none has been observed."""
        observed = sorted(scale.value for scale in self.scales.values() if scale.weight)
        return observed[len(observed) // 2] if observed else None

    def add(self, row: int) -> None:
        self.scales[row] = Scale(self.seed.token_s)
        self._rows = np.array(list(self.scales))
        self._table.token_s[row] = self.seed.token_s
        self._show()

    def remove(self, row: int) -> None:
        del self.scales[row]
        self._rows = np.array(list(self.scales), np.int64)

    def observe(self, row: int, work: Floats, seconds: float) -> None:
        """Work (sum of features of the requests in it) that took so many seconds of a busy replica."""
        scale = self.scales[row]
        before = scale.value
        nominal = float(self.shape.seconds @ work)
        scale.observe(seconds / nominal, nominal)
        self._observations += 1
        if self._observations <= SETTLED or self._observations % SETTLED_EVERY == 0:
            self.shape.observe(work / nominal, seconds / nominal / scale.value)
        elif scale.value == before and scale.weight == WINDOW:
            return
        self._show()
        for pool in self._pools.values():
            if not pool._observations:
                pool._show()

    def observe_token(self, row: int, seconds: float) -> None:
        scale = self.scales[row]
        scale.observe_token(seconds)
        self._table.token_s[row] = scale.token_s

    def _show(self) -> None:
        values = np.array([scale.value for scale in self.scales.values()])
        weights = np.array([scale.weight for scale in self.scales.values()])
        usual = self.usual or self._usual_elsewhere()
        blended = np.exp((weights * np.log(values) + math.log(usual)) / (weights + 1))
        self._table.theta[self._rows] = self.shape.seconds * blended[:, None]
        self._table.step_s[self._rows] = self.seed.sequence_step_s * blended

    def _usual_elsewhere(self) -> float:
        observed = sorted(pool.usual for pool in self._pools.values() if pool.usual is not None)
        return observed[len(observed) // 2] if observed else 1.0


def _weighted_median(values: deque[tuple[float, float]]) -> float:
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    for value, weight in ordered:
        half -= weight
        if half <= 0:
            return value
    return ordered[-1][0]
