"""Prices that are made one by one and prices that are made at once are the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing import Booking, OpenBookings, Request, Router
from deployments.routing.policies.seconds import Seconds
from deployments.routing.seeds import seed_of
from deployments.routing.sharing import UNIT
from tests.support.routers import hold, request

ACCELERATORS = ("h200", "l40s", "mi300x")


def filled(few: int, replicas: int) -> Router:
    router = Router("m", Seconds(few=few), seed=1)
    for number in range(replicas):
        accelerator = ACCELERATORS[number % len(ACCELERATORS)]
        router.add(f"r{number}", f"r{number}", accelerator, 6, seed_of(accelerator), kv_tokens=16 * 100)
    return router


def odd_request(router: Router, chance: random.Random, now: float) -> Request:
    made = request(router, *range(chance.randrange(1, 6)))
    made.tokens += chance.choice([0, 700, 9000])
    made.explained = True
    made.priority, made.streams = chance.randrange(-2, 3), chance.random() < 0.8
    made.sequences = chance.choice([1, 1, 3])
    made.deadline = now + chance.choice([0.05, 3.0]) if chance.random() < 0.3 else None
    made.image_tokens = made.tokens // 2 if chance.random() < 0.2 else 0
    made.audio_s = 20.0 if chance.random() < 0.2 else 0.0
    return made


def told(booking: Booking | None) -> dict[str, object] | None:
    if booking is None:
        return None
    assert booking.decision
    return {name: values for name, values in booking.decision.as_dict().items() if name != "decision_s"}


@given(seed=st.integers(0, 2**31), replicas=st.integers(1, 20))
def test_both_ways_choose_the_same_for_the_same_reasons(seed: int, replicas: int) -> None:
    routers = [filled(few, replicas) for few in (0, 10**6)]
    chance = random.Random(seed)
    opened: list[list[Booking]] = []
    now = 0.0
    for _ in range(60):
        now += chance.random() / 10
        turn, number, amount = chance.randrange(8), chance.randrange(replicas), chance.random()
        made = [odd_request(router, random.Random(turn + number + int(now * 1e6)), now) for router in routers]
        ended = opened.pop(chance.randrange(len(opened))) if opened and turn < 3 else []
        work = [round(part / UNIT) for part in (1.0, amount, amount, 0.0, 0.0)]
        others = OpenBookings([f"r{number}"], np.array([[2], [900], [1], *([part] for part in work)]), turn == 5)
        excluded = (f"r{chance.randrange(replicas)}",)
        bookings = []
        for place, (router, wanted) in enumerate(zip(routers, made, strict=True)):
            match turn:
                case 0 | 1 if ended:
                    router.first_token(ended[place], now)
                    router.finish(ended[place], now + amount, 30, 3)
                case 2 if ended:
                    router.release(ended[place], now)
                case 3:
                    router.eject(router.replicas[f"r{number}"], now + amount)
                case 4:
                    hold(router, f"r{number}", *range(number % 5 + 1))
                case 5:
                    router.set_others("another", others)
                case _:
                    bookings.append(router.place(wanted, now, excluded))
        if bookings:
            one, other = map(told, bookings)
            assert (one is None) == (other is None)
            if one and other:
                assert one["chosen"] == other["chosen"]
                assert one["expected_first_token_s"] == pytest.approx(other["expected_first_token_s"], abs=2e-6)
                _same_reasons(one["candidates"], other["candidates"])
            if all(bookings):
                opened.append([booking for booking in bookings if booking])


def _same_reasons(one: object, other: object) -> None:
    assert isinstance(one, list)
    assert isinstance(other, list)
    named = [{reasons.pop("replica"): reasons for reasons in listed} for listed in (one, other)]
    assert named[0].keys() == named[1].keys()
    for name, reasons in named[0].items():
        assert reasons == pytest.approx(named[1][name], abs=2e-6, rel=1e-9)
