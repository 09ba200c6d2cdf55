"""When LoadGen means to issue each query of an online test, computed as it does: so that lateness can be told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORD = 2**32


def due_times(schedule_seed: int, target_qps: float, queries: int) -> npt.NDArray[np.float64]:
    """Seconds after the test's start at which queries 0, 1, 2, ... are due: a Poisson process that begins at 0.

    LoadGen (ScheduleDistribution of loadgen.cc) draws gaps by C++'s exponential_distribution<double> from a mt19937 of
    that seed: two words of 32 bits make a number in [0, 1), the low word first; a gap is -log(1 - u) / rate.
    """
    words = np.random.RandomState(schedule_seed % WORD).randint(0, WORD, size=(max(0, queries - 1), 2), dtype=np.uint32)
    uniform = (words[:, 0] + words[:, 1] * float(WORD)) / float(WORD) ** 2
    return np.concatenate([np.zeros(min(queries, 1)), np.cumsum(-np.log1p(-uniform) / target_qps)])
