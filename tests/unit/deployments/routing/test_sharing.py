"""What gateways know of each other's bookings, whatever is lost or comes twice on the way."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing import Booking, OpenBookings, Request, Router
from deployments.routing.seeds import seed_of
from deployments.routing.sharing import MOST, ROWS
from tests.support.routers import check_what_follows


def router_of(*names: str) -> Router:
    router = Router("m", seed=1)
    for name in names:
        router.add(name, name, "pool", 100, seed_of("h200"))
    return router


def known(router: Router) -> dict[str, list[float]]:
    """Replica -> what others have open there, where they have anything."""
    table = router.table
    columns = np.column_stack([table.others_open, table.others_tokens, table.others_waiting, table.others_work])
    return {i: row for i, replica in router.replicas.items() if any(row := columns[replica.row].tolist())}


def own(routers: list[Router]) -> dict[str, list[float]]:
    """The same as these have it themselves."""
    sums: dict[str, list[float]] = {}
    for router in routers:
        table = router.table
        columns = np.column_stack([table.open_requests, table.open_tokens, table.waiting_requests, table.waiting_work])
        for incarnation, replica in router.replicas.items():
            before = sums.get(incarnation, [0.0] * ROWS)
            sums[incarnation] = [a + b for a, b in zip(before, columns[replica.row].tolist(), strict=True)]
    return {incarnation: row for incarnation, row in sums.items() if any(row)}


@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_after_a_whole_message_of_each_the_sums_are_theirs(chance: random.Random, replicas: int) -> None:
    names = [f"r{number}" for number in range(replicas)]
    here, others = router_of(*names), [router_of(*names) for _ in range(3)]
    opened: list[tuple[Router, Booking]] = []
    for _ in range(40):
        number = chance.randrange(len(others))
        router = others[number]
        match chance.randrange(5):
            case 0 | 1:
                if booking := router.place(Request(tokens=chance.randrange(1, 9000)), 1.0):
                    opened.append((router, booking))
            case 2 if opened:
                owner, booking = opened.pop(chance.randrange(len(opened)))
                owner.release(booking, 2.0)
            case 3:
                message = router.open_bookings(everything=chance.random() < 0.2)
                for _ in range(chance.randrange(3)):  # lost, or twice
                    here.set_others(str(number), message)
            case 4 if chance.random() < 0.3:
                name = chance.choice(names)
                if name in here.replicas:
                    here.remove(name)
                else:
                    here.add(name, name, "pool", 100, seed_of("h200"))
        check_what_follows(here.table)
    for number, router in enumerate(others):
        here.set_others(str(number), router.open_bookings())
    truth = {name: row for name, row in own(others).items() if name in here.replicas}
    assert known(here).keys() == truth.keys()
    for name, row in truth.items():
        assert known(here)[name] == pytest.approx(row, abs=1e-6)
    for number in range(len(others)):
        here.set_others(str(number), router_of(*names).open_bookings())
    assert not here.table.others_open.any()
    assert not here.table.others_work.any(), "to the last bit"


def test_only_what_has_changed_is_told() -> None:
    router = router_of("a", "b")
    assert router.open_bookings().incarnations == []
    booking = router.place(Request(tokens=100), 1.0)
    assert booking
    assert list(router.open_bookings(everything=False).incarnations) == [booking.replica.incarnation]
    assert router.open_bookings(everything=False).incarnations == []
    assert list(router.open_bookings().incarnations) == [booking.replica.incarnation]
    router.release(booking, 2.0)
    ended = router.open_bookings(everything=False)
    assert list(ended.incarnations) == [booking.replica.incarnation]
    assert not ended.numbers.any()


def test_numbers_that_cannot_be_do_not_reach_the_sums() -> None:
    router = router_of("a")
    numbers = np.full((ROWS, 1), -5)
    numbers[0] = 2**62
    router.set_others("mad", OpenBookings(["a"], numbers, everything=True))
    assert router.table.others_open.tolist()[0] == MOST
    assert not router.table.others_work.any()
    assert router.place(Request(tokens=1), 1.0) is None, "it is full"
