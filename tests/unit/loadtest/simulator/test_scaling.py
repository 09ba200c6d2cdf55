from __future__ import annotations

import math
import random

import pytest

from cluster.fleet import Autoscaling
from deployments.autoscaling import PoolSize
from loadtest.simulator.fleets import Member
from loadtest.simulator.scaling import ScaledOutcome, ScaledPool, simulate_scaled
from loadtest.simulator.speeds import SPEEDS
from loadtest.traces.trace import TraceRequest

STARTUP_S = 20.0
CHEAP, DEAR = (
    ScaledPool(PoolSize(name, cost, 16, 0, most), Member(name, name, SPEEDS["h200"], 16, 256), STARTUP_S)
    for name, cost, most in (("cheap", 1.0, 2), ("dear", 3.0, 3))
)
SETTINGS = Autoscaling(up_window_s=5, down_window_s=30, to_zero_after_s=30)


def load(seed: int = 0) -> list[TraceRequest]:
    """Little, much, and nothing any more after five minutes."""
    draw, at = random.Random(seed), 0.0
    made = []
    while (at := at + draw.expovariate(1.0 if not 100 < at < 200 else 12.0)) < 300:
        made.append(TraceRequest(at, draw.randint(50, 3000), draw.randint(2, 200)))
    return made


@pytest.fixture(scope="module")
def ran() -> ScaledOutcome:
    return simulate_scaled([CHEAP, DEAR], SETTINGS, load(), until_s=500)


def test_every_request_is_answered_once_and_by_a_replica_that_was_there(ran: ScaledOutcome) -> None:
    assert len(ran.outcome.trips) == len(load())
    assert all(timing.ok for timing in ran.outcome.timings)
    first_ready = min(life.since for life in ran.lives) + STARTUP_S
    assert min(timing.first_token_s for timing in ran.outcome.timings) >= first_ready
    assert sum(not engine.live for engine in ran.outcome.engines) == len(ran.outcome.engines)


def test_sizes_stay_within_bounds_and_end_at_nothing(ran: ScaledOutcome) -> None:
    for _, size in ran.sizes:
        assert 0 <= size["cheap"] <= 2
        assert 0 <= size["dear"] <= 3
        assert not size["dear"] or size["cheap"] == 2
    assert max(size["dear"] for _, size in ran.sizes) > 0
    assert ran.sizes[-1][1] == {"cheap": 0, "dear": 0}


def test_a_replica_costs_from_its_start_to_its_last_answer(ran: ScaledOutcome) -> None:
    assert all(life.since <= life.until < math.inf for life in ran.lives)
    total = ran.replica_seconds("cheap") + ran.replica_seconds("dear")
    assert math.isclose(total, sum(life.until - life.since for life in ran.lives))
    busy = sum(ran.outcome.busy_s)
    assert busy < total


@pytest.mark.slow
def test_the_same_load_has_the_same_outcome() -> None:
    again = simulate_scaled([CHEAP, DEAR], SETTINGS, load(), until_s=500)
    first = simulate_scaled([CHEAP, DEAR], SETTINGS, load(), until_s=500)
    assert [timing.end_s for timing in again.outcome.timings] == [timing.end_s for timing in first.outcome.timings]
    assert again.sizes == first.sizes
