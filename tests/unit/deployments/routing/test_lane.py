from __future__ import annotations

import numpy as np
import pytest

from deployments.routing.lane import Lane, Waiting
from deployments.routing.rates import PoolRates
from deployments.routing.seeds import seed_of
from deployments.routing.table import ReplicaTable
from deployments.routing.work import Request, features


class Replica:
    """One lane in a table, and what the table shows of it."""

    def __init__(self) -> None:
        self.table = ReplicaTable()
        self.row = self.table.new_row()
        self.table.new_row()
        self.rates = PoolRates(self.table, seed_of("h200"))
        self.rates.add(self.row)
        self.lane = Lane(self.table, self.row, self.rates)

    def enter(self, tokens: int, now: float, seen: bool = True) -> Waiting:
        waiting = Waiting(features(Request(tokens=tokens), np.zeros(1))[0], seen)
        self.lane.enter(waiting, now)
        return waiting

    def seconds(self, now: float) -> float:
        return float(self.table.waiting_seconds(np.array([self.row]), now)[0])

    def own(self, tokens: int) -> float:
        return float(self.table.theta[self.row] @ features(Request(tokens=tokens), np.zeros(1))[0])

    @property
    def scale(self) -> float:
        return self.rates.scales[self.row].value


def test_what_waits_is_counted_and_an_idle_replica_holds_exactly_nothing() -> None:
    one = Replica()
    waiting = [one.enter(tokens, 0.0) for tokens in (1000, 3333, 7)]
    assert one.seconds(0.0) == pytest.approx(one.own(1000) + one.own(3333) + one.own(7))
    for number, w in enumerate(waiting):
        one.lane.first_token(w, 0.1 * (number + 1))
    assert one.table.waiting_work[one.row].tolist() == [0.0] * 5
    assert (one.seconds(9.0), one.table.waiting_requests[one.row]) == (0.0, 0)


def test_progress_counts_up_to_the_oldest_ones_own_work() -> None:
    one = Replica()
    one.enter(10_000, 0.0)
    one.enter(10_000, 0.0)
    own = one.own(10_000)
    assert one.seconds(own / 2) == pytest.approx(1.5 * own)
    assert one.seconds(1.9 * own) == pytest.approx(own), "the first token would have been seen"


def test_a_replica_that_is_overdue_is_taken_to_be_as_slow_as_it_must_be() -> None:
    one = Replica()
    one.enter(10_000, 0.0)
    one.enter(10_000, 0.0)
    own = one.own(10_000)
    seconds = [one.seconds(passed * own) for passed in (1.0, 2.0, 3.0, 6.0, 11.0)]
    assert seconds == pytest.approx([own, own, 3 * own, 9 * own, 19 * own])
    assert seconds == sorted(seconds), "the longer nothing comes, the longer it will take"
    waiting = next(iter(one.lane._waiting))
    one.lane.first_token(waiting, 12.0 * own)
    assert one.seconds(12.0 * own) == pytest.approx(one.own(10_000))


def test_what_does_not_stream_progresses_unseen() -> None:
    one = Replica()
    for _ in range(3):
        one.enter(10_000, 0.0, seen=False)
    assert one.seconds(1.5 * one.own(10_000)) == pytest.approx(1.5 * one.own(10_000))
    assert one.seconds(100.0) == 0.0


def test_first_tokens_that_come_together_are_one_observation() -> None:
    """Eight prompts of one step: not one that took the whole step, and seven that took nothing."""
    one = Replica()
    for start in (0.0, 10.0, 20.0):
        batch = [one.enter(2000, start) for _ in range(8)]
        for number, waiting in enumerate(batch):
            one.lane.first_token(waiting, start + 8 * 0.1 + number * 1e-4)
    assert one.rates.scales[one.row].observations == 3
    assert one.own(2000) == pytest.approx(0.1, rel=0.05)


def test_idle_time_is_not_held_against_it() -> None:
    one = Replica()
    for start in range(0, 400, 40):
        one.lane.first_token(one.enter(2000, float(start)), start + 0.2)
    assert one.own(2000) == pytest.approx(0.2, rel=0.05)


def test_what_ends_without_a_first_token_tells_nothing() -> None:
    one = Replica()
    gone = one.enter(50_000, 0.0)
    stays = one.enter(2000, 0.0)
    one.lane.leave(gone, 5.0)
    one.lane.leave(gone, 6.0)
    one.lane.first_token(gone, 7.0)
    one.lane.first_token(stays, 5.2)
    assert one.own(2000) == pytest.approx(0.2, rel=0.05), "the five seconds were the other's"


def test_a_moment_that_follows_from_later_ones_may_lie_in_the_past() -> None:
    one = Replica()
    first, second = one.enter(2000, 0.0), one.enter(2000, 0.0)
    one.lane.first_token(first, 0.4)
    one.lane.first_token(second, 0.1)
    assert one.table.waiting_requests[one.row] == 0
    assert one.scale > 0
