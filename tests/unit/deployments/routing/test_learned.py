"""What a router that starts takes over from one that runs."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from deployments.routing import Request, Router
from deployments.routing.learned import LearnedScale
from deployments.routing.seeds import UNKNOWN

SECONDS = {"a": 0.2, "b": 0.8}
"""Of a prompt of 1,000 tokens on each replica."""


def router(names: str = "ab") -> Router:
    made = Router("m", "seconds", seed=1)
    for name in names:
        made.add(name, f"{name}1", "pool", 8, UNKNOWN)
    return made


def run(made: Router, requests: int = 200) -> None:
    """One request after the other, each as fast as its replica is."""
    now, chance = 0.0, random.Random(2)
    for _ in range(requests):
        booking = made.place(Request(tokens=chance.choice((500, 1000, 2000))), now)
        assert booking
        now += booking.request.tokens / 1000 * SECONDS[booking.replica.name]
        made.first_token(booking, now)
        made.finish(booking, now := now + 0.5, 51, 0)


def expected(made: Router) -> list[float]:
    """Seconds to the first token of a prompt on each replica."""
    found = []
    for name in made.replicas:
        others = {each for each in made.replicas if each != name}
        booking = made.place(Request(tokens=1000), 1e6, others)
        assert booking
        found.append(booking.first_token_s)
        made.release(booking, 1e6)
    return found


def test_a_newcomer_expects_what_the_other_does() -> None:
    old, new = router(), router()
    run(old)
    assert expected(new) != pytest.approx(expected(old), rel=0.2)
    new.adopt(old.learned())
    assert expected(new) == pytest.approx(expected(old), rel=0.05)
    for replica in old.replicas.values():
        there = new.replicas[replica.incarnation]
        assert new.scale(there).token_s == pytest.approx(old.scale(replica).token_s)
    assert new.learned()["pool"].step_ratio == old.learned()["pool"].step_ratio


def test_who_has_learned_more_takes_nothing_over() -> None:
    old, new = router(), router()
    run(old, 100)
    run(new, 5)
    before = old.learned()
    old.adopt(new.learned())
    assert old.learned() == before


def test_what_is_adopted_twice_counts_once_and_own_observations_are_kept() -> None:
    old, new = router(), router()
    run(old)
    new.adopt(old.learned())
    adopted = new.learned()
    new.adopt(old.learned())
    assert new.learned() == adopted
    run(new, 100)
    assert expected(new) == pytest.approx(expected(old), rel=0.2)


def test_replicas_and_pools_that_are_not_here_are_passed_over() -> None:
    old, new = router("ab"), router("a")
    run(old)
    learned = old.learned()
    new.adopt({**learned, "another pool": learned["pool"]})
    assert set(new.learned()["pool"].scales) <= {"a1"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0])
def test_numbers_that_are_no_speed_are_passed_over(value: float) -> None:
    old, new = router(), router()
    run(old)
    pool = old.learned()["pool"]
    wrong = {name: LearnedScale(value, 5, 1.0, 1.0) for name in pool.scales}
    new.adopt({"pool": replace(pool, scales=wrong, shape=[value] * len(pool.shape), step_ratio=value)})
    assert new.learned()["pool"].scales == {}
    assert all(0 < seconds < math.inf for seconds in expected(new))
