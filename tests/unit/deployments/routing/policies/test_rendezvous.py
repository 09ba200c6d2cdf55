from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.routing.policies.rendezvous import word_of
from deployments.routing.policies.session_hash import SessionHash
from deployments.routing.work import Request
from tests.support.routers import placed, router_of


def homes(names: list[str], sessions: list[str]) -> dict[str, str]:
    router = router_of(SessionHash(), *names)
    return {session: placed(router, Request(session=session)).replica.name for session in sessions}


def test_homes_are_spread_evenly() -> None:
    found = list(homes(["a", "b", "c", "d"], [f"s{n}" for n in range(800)]).values())
    assert all(150 < found.count(name) < 250 for name in "abcd")


@settings(max_examples=30)
@given(st.sets(st.text(max_size=8), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_only_the_keys_of_the_one_that_left_move(names: set[str], chance: random.Random) -> None:
    ordered = sorted(names)
    gone = chance.choice(ordered)
    sessions = [f"s{n}" for n in range(15)]
    before = homes(ordered, sessions)
    chance.shuffle(ordered)
    after = homes([name for name in ordered if name != gone], sessions)
    assert {s: home for s, home in before.items() if home != gone}.items() <= after.items()


def test_words_are_the_same_in_every_process() -> None:
    assert word_of("gpu-7") == 2942451163831089330
