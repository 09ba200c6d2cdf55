"""When queries were due, and that answers of an earlier try do not tell it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loadtest.client import Outcome
from loadtest.online.measure import date
from loadtest.online.standing import e2e_s, ttft_s

OFFSETS = np.array([0.0, 1.0, 2.5])


def outcome(place: int, due: float, late: float = 0.0) -> Outcome:
    return Outcome(place, place, due + late, due + 1, 1, due=due + late, first=due + 0.5)


def test_the_query_that_came_least_late_tells_the_start() -> None:
    outcomes = {place: outcome(place, 100 + OFFSETS[place], late) for place, late in enumerate((0.3, 0.1, 0.2))}
    date(outcomes, OFFSETS)
    assert [outcomes[place].due for place in range(3)] == pytest.approx(100.1 + OFFSETS)
    assert outcomes[0].started - outcomes[0].due == pytest.approx(0.2)


def test_answers_of_an_earlier_try_have_no_latency_and_tell_no_start() -> None:
    earlier = Outcome(0, 0, 5.0, 6.0, 1, due=math.nan, first=math.nan)
    outcomes = {0: earlier, 1: outcome(1, 101.0), 2: outcome(2, 102.5)}
    date(outcomes, OFFSETS)
    assert [outcomes[place].due for place in (1, 2)] == [101.0, 102.5]
    assert math.isnan(ttft_s(earlier))
    assert math.isnan(e2e_s(earlier))
    date({0: earlier}, OFFSETS)
    assert math.isnan(earlier.due)
