"""The rounds of MLPerf Inference, and what distinguishes them for LoadGen: the seeds of its random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Round(StrEnum):
    """A round of submissions."""

    V6_0 = "v6.0"
    V6_1 = "v6.1"


@dataclass(frozen=True)
class Seeds:
    """Of the sample library, of the order of samples and of the arrival times."""

    qsl: int
    sample_index: int
    schedule: int


SEEDS = {
    Round.V6_0: Seeds(2465351861681999779, 14276810075590677512, 3936089224930324775),
    Round.V6_1: Seeds(2085463073848966840, 2747215439041700203, 16159082839903944936),
}
"""From mlperf.conf at mlcommons/inference f131a0d2 and b0662794. A wheel of LoadGen brings those of one round only."""
