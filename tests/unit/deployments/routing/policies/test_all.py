"""What holds of every policy."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.routing import DEFAULT_POLICY, POLICIES, Booking, Request, Router, make_policy
from tests.support.routers import add, hold, request, router_of

EVERY = pytest.mark.parametrize("policy", sorted(POLICIES))


def test_an_unknown_policy_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown routing policy 'best': use one of bounded-hash, .*, session-hash"):
        make_policy("best")


def test_the_field_is_there() -> None:
    assert DEFAULT_POLICY in POLICIES
    assert len(POLICIES) == 10


@EVERY
def test_each_model_has_a_policy_of_its_own(policy: str) -> None:
    assert make_policy(policy) is not make_policy(policy)


def test_no_request_tells_the_length_of_its_answer() -> None:
    names = {field.name for field in fields(Request)}
    of_prompt = {"tokens", "keys", "image_tokens", "audio_s", "streams", "sequences"}
    assert names == of_prompt | {"session", "priority", "deadline", "explained"}


def odd_request(router: Router, chance: random.Random) -> Request:
    match chance.randrange(6):
        case 0:
            return Request()
        case 1:
            return Request(audio_s=chance.random() * 30)
        case 2:
            return Request(tokens=chance.randrange(40), session=chance.choice(["", "s", "t"]))
        case 3:
            return Request(tokens=0, keys=[chance.randrange(2**64)])
        case _:
            words = [min(chance.randrange(5), chance.randrange(5)) for _ in range(chance.randrange(1, 5))]
            return request(
                router, *words, session=chance.choice([None, "s", "t", "u"]), priority=chance.randrange(-2, 3)
            )


def play(policy: str, seed: int, turns: int = 120) -> list[str]:
    """Replicas that come, go, fail and fill up under any mix of requests. Returns where each went."""
    chance = random.Random(seed)
    router = router_of(policy, seed=seed)
    names = [f"r{n}" for n in range(chance.choice([1, 2, 3, 8, 20]))]
    for name in names:
        add(router, name, limit=3, slower=chance.choice([1.0, 4.0]))
    ejected_until = dict.fromkeys(names, 0.0)
    opened: list[Booking] = []
    went: list[str] = []
    now = 0.0
    for _ in range(turns):
        now += chance.random() / 20
        match chance.randrange(10):
            case 0 if opened:
                router.first_token(chance.choice(opened), now)
            case 1 if opened:
                router.finish(opened.pop(chance.randrange(len(opened))), now, chance.choice([None, 1, 50]), 3)
            case 2 if opened:
                router.release(opened.pop(chance.randrange(len(opened))), now)
            case 3:
                name = chance.choice(names)
                if name in router.replicas:
                    router.remove(name)
                else:
                    add(router, name, limit=3)
                    ejected_until[name] = 0.0
            case 4 if router.replicas:
                name = chance.choice(sorted(router.replicas))
                ejected_until[name] = now + chance.random() / 10
                router.eject(router.replicas[name], ejected_until[name])
            case 5 if router.replicas:
                name = chance.choice(sorted(router.replicas))
                hold(router, name, *range(chance.randrange(1, 5)))
                router.report(router.replicas[name], 1, chance.randrange(4), chance.random())
            case _:
                room = {
                    name
                    for name, replica in router.replicas.items()
                    if router.table.open_requests[replica.row] < 3 and ejected_until[name] <= now
                }
                booking = router.place(odd_request(router, chance), now)
                assert (booking is not None) == bool(room)
                if booking:
                    assert booking.replica.name in room
                    assert router.replicas[booking.replica.incarnation] is booking.replica
                    _check_reasons(booking)
                    opened.append(booking)
                    went.append(booking.replica.name)
        assert router.table.open_requests.sum() == len(opened)
    for booking in opened:
        router.release(booking, now)
    table = router.table
    assert not any(column.any() for column in (table.open_requests, table.open_tokens, table.waiting_work))
    return went


def _check_reasons(booking: Booking) -> None:
    if decision := booking.decision:
        assert {len(values) for values in decision.terms.values()} <= {len(decision.candidates)}
        assert decision.as_dict()["chosen"] == booking.replica.name


@EVERY
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31))
def test_it_chooses_one_that_can_take_the_request_and_repeats_with_its_seed(policy: str, seed: int) -> None:
    # Keys are secret to a process but the same within it.
    assert play(policy, seed) == play(policy, seed)


@EVERY
def test_its_reasons_show_but_for_round_robin(policy: str) -> None:
    router = router_of(policy, "a", "b")
    booking = router.place(request(router, 1, 2, session="s"), 1.0)
    assert booking is not None
    assert booking.decision
    assert bool(booking.decision.terms) == (policy != "round-robin")
