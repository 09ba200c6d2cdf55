from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loadtest.leases import LeaseQueue

LEASE_S = 10.0
HOLDERS = st.sampled_from(["a", "b", "c"])


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Leases(RuleBasedStateMachine):
    """Holders come, go silent, answer late or twice: nothing is lost, and nothing counts twice."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = LeaseQueue(LEASE_S, self.clock)
        self.put = 0
        self.confirmed: list[int] = []
        self.held: dict[str, list[int]] = {}

    @rule(count=st.integers(1, 5))
    def more_samples(self, count: int) -> None:
        self.queue.put([(self.put + offset, 7) for offset in range(count)])
        self.put += count

    @rule(holder=HOLDERS, most=st.integers(0, 4))
    def take(self, holder: str, most: int) -> None:
        taken = self.queue.take(holder, most)
        assert len(taken) <= most
        assert not {place for place, _ in taken} & set(self.confirmed)
        self.held.setdefault(holder, []).extend(place for place, _ in taken)

    @rule(holder=HOLDERS, count=st.integers(1, 4))
    def answer(self, holder: str, count: int) -> None:
        places = self.held.get(holder, [])[:count]
        first = self.queue.confirm(places)
        assert first == [place for place in dict.fromkeys(places) if place not in self.confirmed]
        self.confirmed += first

    @rule(holder=HOLDERS)
    def release(self, holder: str) -> None:
        self.queue.release(holder)

    @rule(seconds=st.floats(0.1, 20))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def counted_once(self) -> None:
        assert len(self.confirmed) == len(set(self.confirmed))

    def teardown(self) -> None:
        """Whatever happened, one living holder can still finish every sample."""
        self.queue.close()
        self.clock.now += 10 * LEASE_S
        while taken := self.queue.take("survivor", 3):
            self.confirmed += self.queue.confirm(place for place, _ in taken)
        assert sorted(self.confirmed) == list(range(self.put))
        assert self.queue.finished


Leases.TestCase.settings = settings(stateful_step_count=30)
TestLeases = Leases.TestCase


def test_a_silent_holder_loses_its_samples_to_the_next_who_asks() -> None:
    clock = Clock()
    queue = LeaseQueue(LEASE_S, clock)
    queue.put([(0, 5), (1, 6), (2, 7)])
    assert queue.take("dead", 2) == [(0, 5), (1, 6)]
    clock.now = LEASE_S - 1
    assert queue.take("alive", 2) == [(2, 7)]
    clock.now = LEASE_S + 0.1
    assert queue.take("alive", 2) == [(0, 5), (1, 6)]


def test_asking_for_nothing_keeps_the_lease() -> None:
    clock = Clock()
    queue = LeaseQueue(LEASE_S, clock)
    queue.put([(0, 5)])
    queue.take("slow", 1)
    for clock.now in (6.0, 12.0, 18.0):
        queue.take("slow", 0)
        assert queue.take("other", 1) == []


def test_finished_only_when_closed_and_all_confirmed() -> None:
    queue = LeaseQueue(LEASE_S)
    assert not queue.finished
    queue.put([(0, 5)])
    queue.close()
    assert not queue.finished
    queue.confirm([0])
    assert queue.finished
