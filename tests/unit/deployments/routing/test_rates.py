from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from deployments.routing.rates import PoolRates
from deployments.routing.seeds import ACCELERATORS, UNKNOWN, Seed, seed_of
from deployments.routing.table import ReplicaTable
from deployments.routing.work import Floats, Request, features


def prompt_work(tokens: int, cached: int = 0, **more: float) -> Floats:
    request = Request(tokens=tokens, **more)  # type: ignore[arg-type]
    return features(request, np.array([float(cached)]))[0]


class Rates:
    """One replica, alone in its pool."""

    def __init__(self, seed: Seed) -> None:
        self.table = ReplicaTable()
        self.row = self.table.new_row()
        self.pool = PoolRates(self.table, seed)
        self.pool.add(self.row)

    def observe(self, work: Floats, seconds: float) -> None:
        self.pool.observe(self.row, work, seconds)

    @property
    def theta(self) -> Floats:
        return self.table.theta[self.row]

    @property
    def scale(self) -> float:
        return self.pool.scales[self.row].value


class Hardware:
    """Takes seconds for work, at a true speed that may be nothing like the seed."""

    def __init__(self, kilotoken_s: float, attention_s: float, request_s: float = 0.01, noise: float = 0.0) -> None:
        self.theta = np.array([request_s, kilotoken_s, attention_s, kilotoken_s, 0.01])
        self.noise, self.chance = noise, random.Random(1)

    def seconds(self, work: Floats) -> float:
        return float(self.theta @ work) * self.chance.lognormvariate(0, self.noise)


def taught(rates: Rates, hardware: Hardware, observations: int, seed: int = 2) -> Rates:
    chance = random.Random(seed)
    for _ in range(observations):
        work = prompt_work(chance.choice([300, 1000, 3000, 8000, 20_000]))
        rates.observe(work, hardware.seconds(work))
    return rates


def error(rates: Rates, hardware: Hardware, tokens: int, cached: int = 0) -> float:
    work = prompt_work(tokens, cached)
    return float(rates.theta @ work) / float(hardware.theta @ work) - 1


@pytest.mark.parametrize("factor", [0.05, 0.3, 1.0, 3.0, 20.0])
def test_a_speed_is_learned_whatever_the_seed(factor: float) -> None:
    hardware = Hardware(0.0222 * factor, 0.00052 * factor, 0.012 * factor)
    rates = taught(Rates(ACCELERATORS["h200"]), hardware, 20)
    assert all(abs(error(rates, hardware, tokens)) < 0.05 for tokens in (500, 4000, 16_000))


def test_the_shape_is_learned_too() -> None:
    hardware = Hardware(0.05, 0.004, noise=0.1)
    rates = taught(Rates(ACCELERATORS["h200"]), hardware, 300)
    assert all(abs(error(rates, hardware, tokens)) < 0.15 for tokens in (1000, 8000, 20_000))
    assert abs(error(rates, hardware, 20_000, cached=18_000)) < 0.25, "the dear end of a long prompt"


def test_one_observation_is_better_than_none() -> None:
    hardware = Hardware(5, 0.1, 0.1)
    rates = Rates(UNKNOWN)
    before = abs(error(rates, hardware, 3000))
    rates.observe(prompt_work(2000), hardware.seconds(prompt_work(2000)))
    assert abs(error(rates, hardware, 3000)) < before / 3


def test_outliers_do_not_move_it() -> None:
    hardware = Hardware(0.05, 0.001, noise=0.05)
    rates = taught(Rates(seed_of("h200")), hardware, 60)
    before = rates.scale
    chance = random.Random(3)
    for turn in range(60):
        work = prompt_work(chance.choice([1000, 4000]))
        wrong = chance.choice([0.01, 100.0]) if turn % 4 == 0 else 1.0
        rates.observe(work, hardware.seconds(work) * wrong)
    assert rates.scale == pytest.approx(before, rel=0.15)


@pytest.mark.parametrize("slower", [3.0, 1 / 3])
def test_a_change_in_mid_run_is_followed_within_a_handful(slower: float) -> None:
    hardware = Hardware(0.05, 0.001, noise=0.05)
    rates = taught(Rates(seed_of("h200")), hardware, 60)
    hardware.theta = hardware.theta * slower
    taught(rates, hardware, 6, seed=9)
    assert abs(error(rates, hardware, 4000)) < 0.2


def test_audio_and_pictures_have_rates_of_their_own() -> None:
    rates = Rates(seed_of("h200"))
    text_before = float(rates.theta @ prompt_work(1000))
    for _ in range(40):
        rates.observe(prompt_work(0, audio_s=10.0), 0.5)
    assert float(rates.theta @ prompt_work(0, audio_s=10.0)) == pytest.approx(0.5, rel=0.1)
    pictures = Rates(seed_of("h200"))
    chance = random.Random(1)
    for _ in range(200):
        plain, with_image = prompt_work(chance.choice([500, 2000])), prompt_work(2000, image_tokens=1000)
        pictures.observe(plain, text_before * float(plain[1]))
        pictures.observe(with_image, text_before * float(with_image[1]) + 0.3)
    gap = float(pictures.theta @ (prompt_work(2000, image_tokens=1000) - prompt_work(2000)))
    assert gap == pytest.approx(0.3, rel=0.35)


def test_nothing_ever_costs_nothing_or_less() -> None:
    rates = Rates(seed_of(None))
    chance = random.Random(5)
    for _ in range(500):
        rates.observe(
            prompt_work(chance.randrange(1, 30_000), audio_s=chance.choice([0, 5])), chance.expovariate(1) + 1e-9
        )
    assert (rates.theta > 0).all()
    assert np.isfinite(rates.theta).all()


def test_scaling_all_times_scales_the_rates() -> None:
    """Nothing in the estimate has a unit of its own."""
    hardware, slow = Hardware(0.05, 0.001, noise=0.2), Hardware(50, 1, 10, noise=0.2)
    seed = replace(seed_of("h200").times(1000, ""), request_s=12.0)
    one, thousand = taught(Rates(seed_of("h200")), hardware, 80), taught(Rates(seed), slow, 80)
    assert thousand.theta[:3] == pytest.approx(one.theta[:3] * 1000, rel=1e-6)


def test_time_between_tokens_is_a_median() -> None:
    rates = Rates(seed_of("h200"))
    for seconds in [0.02] * 10 + [5.0] * 3:
        rates.pool.observe_token(rates.row, seconds, 0)
    assert rates.table.token_s[rates.row] == 0.02


def test_what_a_sequence_adds_to_a_step_is_learned_from_answers_for_all_of_a_pool() -> None:
    """From answers alone, and for replicas that nobody uses, too."""
    table, truth = ReplicaTable(), seed_of("h200")
    pools: dict[str, PoolRates] = {}
    for name, seed in (("observed", UNKNOWN), ("other", seed_of("mi300x"))):
        pools[name] = PoolRates(table, seed, pools)
    rows = [table.new_row() for _ in range(3)]
    for name, row in zip(("observed", "observed", "other"), rows, strict=True):
        pools[name].add(row)
    assert not table.step_s.any(), "nothing until an answer has told"
    for beside in range(40):
        pools["observed"].observe_token(rows[0], truth.step_s + truth.sequence_step_s * beside, beside)
        pools["observed"].observe(rows[0], prompt_work(2000), 5.0)
    assert table.step_s[rows[:2]] == pytest.approx(truth.sequence_step_s)
    ratio = truth.sequence_step_s / UNKNOWN.sequence_step_s
    assert table.step_s[rows[2]] == pytest.approx(seed_of("mi300x").sequence_step_s * ratio)


def test_a_newcomer_is_taken_to_be_as_fast_as_its_neighbours() -> None:
    table = ReplicaTable()
    pool = PoolRates(table, UNKNOWN)
    rows = [table.new_row() for _ in range(4)]
    for row in rows[:3]:
        pool.add(row)
        for _ in range(10):
            pool.observe(row, prompt_work(2000), 0.02)
    before = table.theta[rows[0]].copy()
    pool.add(rows[3])
    assert table.theta[rows[3]] == pytest.approx(before, rel=0.05)
    for _ in range(8):
        pool.observe(rows[3], prompt_work(2000), 0.08)
    assert float(table.theta[rows[3]] @ prompt_work(2000)) == pytest.approx(0.08, rel=0.2), "it has its own say"
    assert float(table.theta[rows[0]] @ prompt_work(2000)) == pytest.approx(0.02, rel=0.2)
    pool.remove(rows[0])
    pool.observe(rows[1], prompt_work(2000), 0.02)
    assert set(pool.scales) == set(rows[1:])


def test_a_pool_that_has_not_been_observed_takes_the_usual_scale_of_the_others() -> None:
    """Seeds are of a large model on GPUs: a fleet of small engines is twenty times as slow on all of them."""
    table = ReplicaTable()
    pools: dict[str, PoolRates] = {}
    for name, accelerator in (("a", "h200"), ("b", "mi355x")):
        pools[name] = PoolRates(table, seed_of(accelerator), pools)
        pools[name].add(table.new_row())
    work = prompt_work(2000)
    before = table.theta[1] @ work
    hardware = Hardware(0.0222 * 20, 0.00052 * 20, 0.012 * 20)
    for _ in range(8):
        pools["a"].observe(0, work, hardware.seconds(work))
    assert float(table.theta[1] @ work) == pytest.approx(float(before) * 20, rel=0.1)
    for _ in range(8):
        pools["b"].observe(1, work, 0.01)
    assert float(table.theta[1] @ work) == pytest.approx(0.01, rel=0.4), "and then its own"


def test_seeds() -> None:
    assert seed_of("H200").kilotoken_s < seed_of("mi300x").kilotoken_s < seed_of(None).kilotoken_s
    assert seed_of("h200", tensor_parallel=4).kilotoken_s == pytest.approx(seed_of("h200").kilotoken_s / 3.2)
    assert all(seed.source for seed in ACCELERATORS.values())
