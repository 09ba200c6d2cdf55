"""How fast replicas are, learned from when their first tokens came.

An observation is an amount of work (features) and the seconds in which a busy replica did it. Two things are learned.

The scale, one number for each replica: a weighted median over its last observations, so that half of them may be
nonsense; and when a handful in a row say the same other thing, the replica has changed, and only they count. The fewer
they are, the more it leans on the usual scale of its pool: a replica that has just come is taken to be as fast as its
neighbours have been seen to be.

The shape, how many seconds each feature takes against the others, is the same for all of a pool, which run one model
on one kind of hardware. It follows by recursive least squares with exponential forgetting (Haykin, Adaptive Filter
Theory, ch. 10) on relative errors, each clipped as in Huber's M-estimator.

What one more sequence adds to a decode step is a pool's, too: as its seed says it, times the median, over its last
answers, of how long their steps were against what the seed says for as many answers beside them. A pool's and no
replica's: one that stands empty is priced by what its neighbours show. Until an answer has told it is nothing.

A pool that has not been observed yet takes the usual scale of those that have: seeds are for a large model, and how
much faster or slower this one is than they say is much the same on every kind of hardware.

An observation costs the same however many replicas there are: medians are kept in order, and the table's columns are
made from them when a choice reads them. At five features plain Python takes half of numpy's time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import exp, isfinite, log, sqrt
from operator import mul

import numpy as np

from deployments.routing.learned import LearnedPool, LearnedScale
from deployments.routing.seeds import Seed
from deployments.routing.table import ReplicaTable
from deployments.routing.work import FEATURES, Floats, Work

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
STEP_WINDOW = 64

PLACES = range(len(FEATURES))


class RunningMedian:
    """Of the last `window` values, kept in order; of two middle ones the larger."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def value(self) -> float | None:
        return self._sorted[len(self._sorted) // 2] if self._sorted else None

    def take(self, value: float) -> float:
        """Takes the next value. Returns the median."""
        if len(self._recent) == self._window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(value)
        insort(self._sorted, value)
        return self._sorted[len(self._sorted) // 2]


class Scale:
    """One replica's speed against its pool's shape, and the time between two tokens of its answers."""

    def __init__(self, token_s: float) -> None:
        self.value = 1.0
        self.token_s = token_s
        self.observations = 0
        self._recent: deque[tuple[float, float]] = deque()
        self._sorted: list[tuple[float, float]] = []
        self._tokens = RunningMedian(TOKEN_WINDOW)

    @property
    def weight(self) -> int:
        """Observations that the value rests on."""
        return len(self._recent)

    def observe(self, ratio: float, nominal_s: float) -> None:
        """Work of so many seconds by the shape alone took `ratio` times as long."""
        self.observations += 1
        recent, ordered = self._recent, self._sorted
        if recent:
            ratio = min(max(ratio, self.value / MOST_RATIO), self.value * MOST_RATIO)
        if len(recent) == WINDOW:
            del ordered[bisect_left(ordered, recent.popleft())]
        recent.append((ratio, nominal_s))
        insort(ordered, (ratio, nominal_s))
        self._drop_what_was_before_a_change()
        self.value = _weighted_median(ordered)

    def observe_token(self, seconds: float) -> None:
        """The mean time between two tokens of one answer."""
        self.token_s = self._tokens.take(seconds)

    def learned(self) -> LearnedScale:
        nominal_s = sum(seconds for _, seconds in self._recent) / max(1, len(self._recent))
        return LearnedScale(self.value, len(self._recent), nominal_s, self.token_s)

    def adopt(self, learned: LearnedScale) -> None:
        """Counts as so many observations of that value, beside the few of its own."""
        kept = list(self._recent)[-WINDOW + 1 :]
        adopted = [(learned.value, learned.nominal_s)] * (min(learned.weight, WINDOW) - len(kept))
        self.observations += len(adopted)
        self._recent = deque([*adopted, *kept])
        self._sorted = sorted(self._recent)
        self.value = _weighted_median(self._sorted)
        if self._tokens.value is None:
            self.observe_token(learned.token_s)

    def _drop_what_was_before_a_change(self) -> None:
        if len(self._recent) <= CHANGE_AFTER or 1 / CHANGE <= self._recent[-1][0] / self.value <= CHANGE:
            return
        kept = [self._recent[place] for place in range(-CHANGE_AFTER, 0)]
        last = [ratio / self.value for ratio, _ in kept]
        if min(last) > CHANGE or max(last) < 1 / CHANGE:
            self._recent.clear()
            self._recent.extend(kept)
            self._sorted[:] = sorted(kept)


class Shape:
    """Seconds of each feature at scale 1."""

    def __init__(self, seed: Floats) -> None:
        self.seconds: list[float] = seed.tolist()
        self._least, self._most = [s / SHAPE_BOUND for s in self.seconds], [s * SHAPE_BOUND for s in self.seconds]
        self._widest = [(SHAPE_SPREAD * s) ** 2 / NOISE**2 for s in self.seconds]
        self._covariance = [[self._widest[i] if i == j else 0.0 for j in PLACES] for i in PLACES]

    def seconds_of(self, work: Work) -> float:
        return sum(map(mul, self.seconds, work), 0.0)

    def adopt(self, seconds: Sequence[float]) -> None:
        """Another's, within what its seed allows."""
        if len(seconds) == len(self.seconds) and all(map(isfinite, seconds)):
            bounds = zip(seconds, self._least, self._most, strict=True)
            self.seconds = [min(max(each, least), most) for each, least, most in bounds]

    def observe(self, work: Work, relative: float) -> None:
        """`work` in parts of its nominal seconds, so that the expected `relative` is 1 and every error is relative."""
        error = min(max(relative - 1.0, -CLIPPED_AT), CLIPPED_AT)
        covariance = self._covariance
        spread = [sum(map(mul, row, work)) for row in covariance]
        divisor = FORGETTING + sum(map(mul, work, spread))
        gain = [s / divisor for s in spread]
        self.seconds = [
            min(max(seconds + g * error, least), most)
            for seconds, g, least, most in zip(self.seconds, gain, self._least, self._most, strict=True)
        ]
        covariance = [
            [(c - g * s) / FORGETTING for c, s in zip(row, spread, strict=True)]
            for row, g in zip(covariance, gain, strict=True)
        ]
        # Without news of a feature its variance would grow for ever.
        growth = [sqrt(max(covariance[i][i] / self._widest[i], 1.0)) for i in PLACES]
        if max(growth) > 1.0:
            covariance = [
                [c / (gi * gj) for c, gj in zip(row, growth, strict=True)]
                for row, gi in zip(covariance, growth, strict=True)
            ]
        self._covariance = covariance


class Steps:
    """How many times as long as its seed says a pool's decode steps are."""

    def __init__(self, seed: Seed) -> None:
        self._step_s, self._sequence_s = seed.step_s, seed.sequence_step_s
        self._ratios = RunningMedian(STEP_WINDOW)

    @property
    def ratio(self) -> float | None:
        """None until an answer has ended."""
        return self._ratios.value

    def observe(self, token_s: float, beside: float) -> None:
        """The mean time between two tokens of one answer, and how many others were under way on average."""
        self._ratios.take(token_s / (self._step_s + self._sequence_s * beside))

    def adopt(self, ratio: float) -> None:
        """Counts as one answer, where none has ended here."""
        if self.ratio is None and isfinite(ratio) and ratio > 0:
            self._ratios.take(ratio)


class PoolRates:
    """The rates of one pool's replicas, shown in the table's `theta`, `step_s` and `token_s`."""

    def __init__(self, table: ReplicaTable, seed: Seed, pools: Mapping[str, PoolRates] | None = None) -> None:
        """`pools`: all of the model's, this one among them once it is made."""
        self.seed = seed
        self.shape = Shape(seed.theta())
        self.scales: dict[int, Scale] = {}
        self.steps = Steps(seed)
        self._table = table
        self._pools = {} if pools is None else pools
        self._observations = 0
        self._observed: list[float] = []
        """Scales of the replicas that have been observed, in order."""
        self._columns: _Columns | None = None

    @property
    def usual(self) -> float | None:
        """The middle one of its replicas' scales; None where none has been observed."""
        return self._observed[len(self._observed) // 2] if self._observed else None

    def add(self, row: int) -> None:
        self.scales[row] = Scale(self.seed.token_s)
        self._table.token_s[row] = self.seed.token_s
        self._columns = None
        self._table.rates_changed(self)

    def remove(self, row: int) -> None:
        scale = self.scales.pop(row)
        if scale.weight:
            del self._observed[bisect_left(self._observed, scale.value)]
        self._columns = None
        self._table.rates_changed(self)

    def seconds_of(self, row: int, work: Work) -> float:
        """Of work on that replica, without making the rates of all others."""
        scale = self.scales[row]
        blended = exp((scale.weight * log(scale.value) + log(self._usual())) / (scale.weight + 1))
        return self.shape.seconds_of(work) * blended

    def observe(self, row: int, work: Work, seconds: float) -> None:
        """Work (sum of features of the requests in it) that took so many seconds of a busy replica."""
        scale = self.scales[row]
        before, weight = scale.value, scale.weight
        nominal = self.shape.seconds_of(work)
        scale.observe(seconds / nominal, nominal)
        self._observations += 1
        if scale.value != before or not weight:
            if weight:
                del self._observed[bisect_left(self._observed, before)]
            insort(self._observed, scale.value)
        if self._observations <= SETTLED or self._observations % SETTLED_EVERY == 0:
            self.shape.observe([amount / nominal for amount in work], seconds / nominal / scale.value)
        elif scale.value == before and weight == WINDOW:
            return
        if self._columns:
            self._columns.take(row, scale)
        self._table.rates_changed(self)
        for pool in self._pools.values():
            if not pool._observations:
                self._table.rates_changed(pool)

    def observe_token(self, row: int, seconds: float, beside: float) -> None:
        """The mean time between two tokens of one answer there, and how many others were under way on average."""
        scale = self.scales[row]
        scale.observe_token(seconds)
        self._table.token_s[row] = scale.token_s
        before = self.steps.ratio
        self.steps.observe(seconds, beside)
        if self.steps.ratio != before:
            for pool in self._pools.values() or (self,):
                if pool is self or pool.steps.ratio is None:
                    self._table.rates_changed(pool)

    def learned(self, incarnations: Mapping[int, str]) -> LearnedPool:
        """`incarnations`: of its rows."""
        scales = {incarnations[row]: scale.learned() for row, scale in self.scales.items() if scale.weight}
        return LearnedPool(self._observations, self.shape.seconds, self.steps.ratio, scales)

    def adopt(self, learned: LearnedPool, rows: Mapping[str, int]) -> None:
        """Takes over what another router has learned of it, where that is more than here. `rows`: by incarnation."""
        if learned.observations <= self._observations:
            return
        self._observations = learned.observations
        self.shape.adopt(learned.shape)
        if learned.step_ratio is not None:
            self.steps.adopt(learned.step_ratio)
        for incarnation, of_replica in learned.scales.items():
            scale = self.scales.get(rows.get(incarnation, -1))
            if scale and of_replica.usable and of_replica.weight > scale.weight:
                scale.adopt(of_replica)
                self._table.token_s[rows[incarnation]] = scale.token_s
        self._observed = sorted(scale.value for scale in self.scales.values() if scale.weight)
        self._columns = None
        for pool in self._pools.values() or (self,):
            self._table.rates_changed(pool)

    def show(self) -> None:
        if not self.scales:
            return
        self._columns = columns = self._columns or _Columns(self.scales)
        blended = np.exp((columns.weighted + log(self._usual())) / columns.divisors)
        theta = np.array(self.shape.seconds)[:, None] * blended
        self._table.set_rates(columns.rows, theta, self.seed.sequence_step_s * self._step_ratio())

    def _usual(self) -> float:
        return self._own_or_usual(lambda pool: pool.usual, otherwise=1.0)

    def _step_ratio(self) -> float:
        return self._own_or_usual(lambda pool: pool.steps.ratio, otherwise=0.0)

    def _own_or_usual(self, learned: Callable[[PoolRates], float | None], otherwise: float) -> float:
        """What this pool has learned, else the middle one of what others have; `otherwise` where none has any."""
        if (own := learned(self)) is not None:
            return own
        others = sorted(value for pool in self._pools.values() if (value := learned(pool)) is not None)
        return others[len(others) // 2] if others else otherwise


class _Columns:
    """The scales of a pool's rows as they are blended: weight * log(value), and weight + 1."""

    def __init__(self, scales: Mapping[int, Scale]) -> None:
        self.rows = np.array(list(scales), np.int64)
        self.weighted, self.divisors = np.zeros(len(scales)), np.ones(len(scales))
        self._places = {row: place for place, row in enumerate(scales)}
        for row, scale in scales.items():
            if scale.weight:
                self.take(row, scale)

    def take(self, row: int, scale: Scale) -> None:
        place = self._places[row]
        self.weighted[place], self.divisors[place] = scale.weight * log(scale.value), scale.weight + 1


def _weighted_median(ordered: list[tuple[float, float]]) -> float:
    half = sum([weight for _, weight in ordered]) / 2
    for value, weight in ordered:
        half -= weight
        if half <= 0:
            return value
    return ordered[-1][0]
