from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing import POLICIES, Replica, Work, make_policy
from deployments.routing.least_work import LeastWork
from deployments.routing.round_robin import RoundRobin


def replica(name: str, limit: int = 10, work: float = 0.0) -> Replica:
    return Replica(name, f"incarnation of {name}", "pool", limit, open_work=work)


def test_an_unknown_policy_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown routing policy 'best': use one of least-work, round-robin"):
        make_policy("best")


def test_each_model_has_a_policy_of_its_own() -> None:
    assert make_policy("round-robin") is not make_policy("round-robin")


@pytest.mark.parametrize("name", sorted(POLICIES))
@given(works=st.lists(st.floats(0, 1e6), min_size=1, max_size=8), rounds=st.integers(1, 5))
def test_every_policy_chooses_one_of_the_candidates(name: str, works: list[float], rounds: int) -> None:
    policy = make_policy(name)
    candidates = [replica(str(index), work=work) for index, work in enumerate(works)]
    for _ in range(rounds):
        assert policy.choose(Work(1), candidates) in candidates


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 100)), min_size=1, max_size=8), st.floats(1, 1e4))
def test_least_work_takes_the_lowest_share_of_a_limit(states: list[tuple[float, int]], amount: float) -> None:
    candidates = [replica(str(i), limit, work) for i, (work, limit) in enumerate(states)]
    chosen = LeastWork().choose(Work(amount), candidates)
    prices = [(other.open_work + amount) / other.limit for other in candidates]
    assert (chosen.open_work + amount) / chosen.limit == min(prices)


def test_least_work_gives_twice_the_slots_twice_the_work() -> None:
    small, large = replica("small", 10), replica("large", 20)
    for _ in range(30):
        LeastWork().choose(Work(100), [small, large]).book(Work(100))
    assert large.open_work == 2 * small.open_work


def test_ties_of_least_work_go_to_chance() -> None:
    candidates = [replica(name) for name in "abc"]
    counts = Counter(LeastWork().choose(Work(1), candidates).name for _ in range(300))
    assert min(counts[name] for name in "abc") > 50


def test_round_robin_takes_turns_by_name() -> None:
    policy, (a, b, c) = RoundRobin(), (replica("a"), replica("b"), replica("c"))
    assert [policy.choose(Work(1), [c, a, b]).name for _ in range(4)] == ["a", "b", "c", "a"]
    assert policy.choose(Work(1), [a, c]) is c, "one that is full for a moment loses only its turn"
    assert policy.choose(Work(1), [a, b, c]) is a
