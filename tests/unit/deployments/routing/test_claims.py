from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deployments.routing import claims as module
from deployments.routing.claims import SLACK_KEYS, Claims

REPLICAS = (0, 1, 40)
KEYS = st.lists(st.integers(0, 200), max_size=30)
REPLICA = st.sampled_from(REPLICAS)


class AgainstSets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.claims = Claims()
        self.held: dict[int, set[int]] = {replica: set() for replica in REPLICAS}
        for replica in REPLICAS:
            self.claims.add(replica)

    @rule(replica=REPLICA, keys=KEYS)
    def store(self, replica: int, keys: list[int]) -> None:
        self.claims.store(replica, keys)
        self.held[replica].update(keys)

    @rule(replica=REPLICA, keys=KEYS)
    def remove(self, replica: int, keys: list[int]) -> None:
        removed = self.claims.remove(replica, keys)
        assert len(removed) == len(set(removed))
        assert set(removed) == self.held[replica] & set(keys)
        self.held[replica].difference_update(keys)

    @rule(replica=REPLICA)
    def clear(self, replica: int) -> None:
        self.claims.clear(replica)
        self.held[replica].clear()

    @rule(replica=REPLICA)
    def another_takes_its_number(self, replica: int) -> None:
        self.claims.drop(replica)
        self.claims.add(replica)
        self.held[replica].clear()

    @invariant()
    def each_holds_what_it_took_in(self) -> None:
        for replica, held in self.held.items():
            assert self.claims.held(replica) == held
            assert self.claims.count(replica) == len(held)
        keys = set().union(*self.held.values())
        assert len(self.claims) == len(keys)
        for key in range(201):
            assert self.claims.holders(key) == sum(1 << replica for replica, held in self.held.items() if key in held)
            assert (key in self.claims) == (key in keys)


TestAgainstSets = AgainstSets.TestCase


def test_memory_follows_what_is_held_however_much_came_and_went() -> None:
    claims = Claims()
    claims.add(0)
    for start in range(0, 200_000, 100):
        claims.store(0, range(start, start + 100))
        claims.remove(0, range(start - 1_000, start - 900))
    assert claims.count(0) == 1_000
    assert len(claims._taken[0]) <= 2 * 1_000 + SLACK_KEYS + 100


def test_sets_of_replicas_that_are_kept_once_are_bounded() -> None:
    chance = random.Random(1)
    claims = Claims()
    for replica in range(64):
        claims.add(replica)
    with_limit = module.MOST_COMMON
    try:
        module.MOST_COMMON = 50
        for _ in range(500):
            claims.store(chance.randrange(64), [chance.randrange(500) for _ in range(20)])
            assert len(claims._common) <= 50
    finally:
        module.MOST_COMMON = with_limit
