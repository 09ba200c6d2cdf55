from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet import Autoscaling
from deployments.autoscaling import PoolLoad, PoolSize, Scaler

CHEAP = PoolSize("cheap", cost=1, slots=10, least=0, most=4)
DEAR = PoolSize("dear", cost=3, slots=10, least=0, most=6)
SETTINGS = Autoscaling(target_use=0.5, up_window_s=2, down_window_s=60, to_zero_after_s=100, margin=0.2)
"""A replica is meant for five sequences."""


class Model:
    """A model whose pools are always as large as is wanted, at one word a second."""

    def __init__(self, *pools: PoolSize, settings: Autoscaling = SETTINGS) -> None:
        self.scaler = Scaler(pools, settings, 0.0)
        self.now = -1.0
        self.wanted: dict[str, int] = {}

    def under(self, sequences: float, seconds: int = 1, kv_use: float = 0.0) -> dict[str, int]:
        for _ in range(seconds):
            self.now += 1
            have = self.wanted
            there = sum(have.values())
            loads = {
                name: PoolLoad(count, int(sequences * count / there) if there else 0, 0, kv_use * count)
                for name, count in have.items()
            }
            at_gateways = int(sequences) - sum(load.running for load in loads.values())
            self.wanted = self.scaler.wanted(self.now, loads, at_gateways)
        return self.wanted


def test_the_cheapest_pool_grows_first_and_the_dear_one_only_when_that_is_full() -> None:
    model = Model(DEAR, CHEAP)
    assert model.under(5, 10) == {"cheap": 1, "dear": 0}
    assert model.under(20, 10) == {"cheap": 4, "dear": 0}
    assert model.under(31, 10) == {"cheap": 4, "dear": 3}
    assert model.under(1000, 10) == {"cheap": 4, "dear": 6}


def test_cost_is_that_of_a_slot() -> None:
    large = PoolSize("large", cost=3, slots=100, least=0, most=1)
    assert Model(CHEAP, large).under(5, 10) == {"cheap": 0, "large": 1}


def test_a_request_to_a_model_at_zero_starts_a_replica_at_once() -> None:
    model = Model(CHEAP)
    assert model.under(0, 200) == {"cheap": 0}
    assert model.under(1) == {"cheap": 1}


def test_the_last_replica_goes_after_its_own_time() -> None:
    model = Model(CHEAP)
    assert model.under(1, 70) == {"cheap": 1}
    assert model.under(0, 95) == {"cheap": 1}
    assert model.under(0, 80) == {"cheap": 0}


def test_the_dear_pool_goes_first_and_not_before_the_window_is_over() -> None:
    model = Model(CHEAP, DEAR)
    model.under(30, 80)
    assert model.under(6, 55) == {"cheap": 4, "dear": 2}
    assert model.under(6, 10) == {"cheap": 2, "dear": 0}


def test_a_pool_is_never_below_its_least_nor_above_its_most() -> None:
    kept = PoolSize("kept", cost=9, slots=10, least=2, most=3)
    model = Model(CHEAP, kept)
    assert model.under(0, 300) == {"cheap": 0, "kept": 2}
    assert model.under(10, 10) == {"cheap": 0, "kept": 2}, "what is there anyway is used first"
    assert model.under(1000, 10) == {"cheap": 4, "kept": 3}


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (PoolLoad(1, running=2, kv_use=0.8), 1),
        (PoolLoad(1, running=2, kv_use=1.0), 2),
        (PoolLoad(2, running=2, kv_use=1.9), 3),
        (PoolLoad(2, running=2, waiting=9, kv_use=1.0), 3),
    ],
)
def test_a_full_kv_cache_counts_as_full_slots_do(load: PoolLoad, wanted: int) -> None:
    scaler = Scaler([CHEAP, DEAR], SETTINGS, 0.0)
    for second in range(100):
        sizes = scaler.wanted(float(second), {"cheap": load}, 0)
    assert sizes == {"cheap": wanted, "dear": 0}


@pytest.mark.parametrize(("busy", "wanted"), [(0.3, 1), (0.9, 2), (1.3, 3), (9.0, 4)])
def test_prompts_count_by_the_seconds_that_they_take(busy: float, wanted: int) -> None:
    """Two long prompts at a time fill a replica, however many slots it has."""
    scaler = Scaler([CHEAP], SETTINGS, 0.0)
    for second in range(100):
        sizes = scaler.wanted(float(second), {"cheap": PoolLoad(2, running=2, booked_s={"a": busy * second})}, 0)
    assert sizes == {"cheap": wanted}


def test_what_gathers_while_replicas_start_does_not_start_ever_more() -> None:
    scaler = Scaler([CHEAP, DEAR], SETTINGS, 0.0)
    for second in range(60):
        assert scaler.wanted(float(second), {}, 5 * second)["cheap"] <= 1, "the first one has still to come"
    for second in range(60, 120):
        sizes = scaler.wanted(float(second), {"cheap": PoolLoad(1, running=10, waiting=500)}, 500)
    assert sizes == {"cheap": 2, "dear": 0}, "twice as many, before it is known what two can do"


def test_a_scaler_that_has_just_begun_takes_nothing_away() -> None:
    """It may have come back after a crash, and knows nothing of the load before."""
    scaler = Scaler([CHEAP, DEAR], SETTINGS, 1000.0)
    loads = {"cheap": PoolLoad(4), "dear": PoolLoad(2)}
    for second in range(59):
        assert scaler.wanted(1000.0 + second, loads, 0) == {"cheap": 4, "dear": 2}
    assert scaler.wanted(1061.0, loads, 0) == {"cheap": 0, "dear": 0}


def recorded() -> Iterator[float]:
    """A load as fleets have it: a day's wave, and on top of it bursts that last some seconds."""
    for second in range(2400):
        wave = 12 - 11 * math.cos(second / 2400 * 2 * math.pi)
        yield wave + (8 if second % 40 < 6 else 0)


def test_bursts_within_the_window_do_not_make_it_flap() -> None:
    model = Model(CHEAP, DEAR)
    changes = []
    before: dict[str, int] = {}
    for sequences in recorded():
        wanted = dict(model.under(sequences))
        changes += [wanted[name] - before.get(name, 0) for name in wanted if wanted[name] != before.get(name, 0)]
        before = wanted
    ups, downs = [c for c in changes if c > 0], [c for c in changes if c < 0]
    turns = sum(a * b < 0 for a, b in itertools.pairwise(changes))
    assert sum(ups) - before["cheap"] - before["dear"] == -sum(downs)
    assert turns <= 1, "it grows with the wave, and shrinks with it, once"


def test_without_window_and_margin_the_same_load_would_flap() -> None:
    hasty = SETTINGS.model_copy(update={"down_window_s": 0, "margin": 0, "up_window_s": 0})
    model = Model(CHEAP, DEAR, settings=hasty)
    sizes = [sum(model.under(sequences).values()) for sequences in recorded()]
    changes = [b - a for a, b in itertools.pairwise(sizes) if a != b]
    assert sum(a * b < 0 for a, b in itertools.pairwise(changes)) > 20


@given(st.lists(st.floats(0, 80), min_size=1, max_size=200), st.sampled_from([1, 2, 5]))
def test_there_is_always_enough_and_never_more_than_the_window_asks_for(loads: list[float], every: int) -> None:
    model = Model(CHEAP, DEAR)
    for sequences in loads:
        wanted = model.under(sequences, every)
        assert 0 <= wanted["cheap"] <= CHEAP.most
        assert 0 <= wanted["dear"] <= DEAR.most
        assert not (wanted["dear"] and wanted["cheap"] < CHEAP.most), "the dear one only beside a full cheap one"
    model.under(0, 200)
    assert model.wanted == {"cheap": 0, "dear": 0}


@pytest.mark.parametrize("sequences", [0, 4, 5, 17, 49])
def test_a_steady_load_moves_nothing_once_it_has_settled(sequences: int) -> None:
    model = Model(CHEAP, DEAR)
    model.under(sequences, 200)
    settled = dict(model.wanted)
    for _ in range(300):
        assert model.under(sequences) == settled
