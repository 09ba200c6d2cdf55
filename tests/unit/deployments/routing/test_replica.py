from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from deployments.routing import Booking, Replica, Work


def test_a_replica_has_room_below_its_limit_while_it_stays() -> None:
    replica = Replica("r", "i", "p", limit=1)
    assert replica.has_room(0)
    booking = replica.book(Work(5))
    assert not replica.has_room(0)
    booking.release()
    assert replica.has_room(0)
    replica.suspect_until = 10
    assert not replica.has_room(9.9)
    assert replica.has_room(10)
    replica.leaving = True
    assert not replica.has_room(10)


def test_releasing_twice_counts_once() -> None:
    replica = Replica("r", "i", "p", limit=5)
    one, two = replica.book(Work(1)), replica.book(Work(2))
    one.release()
    one.release()
    assert (replica.open_requests, replica.open_work) == (1, 2)
    two.release()
    assert (replica.open_requests, replica.open_work) == (0, 0)


class Bookings(RuleBasedStateMachine):
    """Any order of bookings and releases on one replica."""

    booked: Bundle[Booking] = Bundle("booked")

    def __init__(self) -> None:
        super().__init__()
        self.replica = Replica("r", "i", "p", limit=4)
        self.open: list[Booking] = []

    @precondition(lambda self: self.replica.has_room(0))
    @rule(target=booked, amount=st.floats(0, 1e12))
    def book(self, amount: float) -> Booking:
        booking = self.replica.book(Work(amount))
        self.open.append(booking)
        return booking

    @rule(booking=consumes(booked))
    def release(self, booking: Booking) -> None:
        booking.release()
        self.open.remove(booking)

    @rule(booking=consumes(booked))
    def release_twice(self, booking: Booking) -> None:
        self.release(booking)
        booking.release()

    @invariant()
    def counts_are_those_of_the_open_bookings(self) -> None:
        assert self.replica.open_requests == len(self.open) <= self.replica.limit
        total = sum(booking.work.amount for booking in self.open)
        assert abs(self.replica.open_work - total) <= 1.0, "no more than floats of that size drift"
        if not self.open:
            assert self.replica.open_work == 0.0


TestBookings = Bookings.TestCase
