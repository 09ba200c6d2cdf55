"""Small routers with prompts of words, for what is tested of choices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from deployments.kv_cache.events import Stored
from deployments.routing import Booking, Request, Router
from deployments.routing.policy import Policy
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of
from deployments.routing.table import ReplicaTable
from tests.support.block_index import apply_events

H200 = seed_of("h200")
WORD_TOKENS = 160


def router_of(policy: Policy | str, *names: str, limit: int = 1000, seed: int = 1) -> Router:
    router = Router("m", policy, seed=seed)
    for name in names:
        add(router, name, limit=limit)
    return router


def add(router: Router, name: str, limit: int = 1000, slower: float = 1.0) -> None:
    """A replica whose incarnation is called as itself, in a pool of its speed."""
    router.add(name, name, f"{slower} times as slow", limit, H200.times(slower, "test"), kv_tokens=160_000)


def request(router: Router, *words: int, **fields: Any) -> Request:
    """A prompt of `WORD_TOKENS` tokens for each word."""
    tokens = _tokens(words)
    keys = router.index.prompt_keys(Prompt(tokens))
    return Request(tokens=len(tokens), keys=keys, **fields)


def hold(router: Router, name: str, *words: int) -> None:
    """The engine of that replica tells that it has this prompt."""
    tokens = _tokens(words)
    names = [(name, words, n) for n in range(len(tokens) // 16)]
    apply_events(router, router.replicas[name], [Stored(names, None, tokens, 16)])


def placed(router: Router, wanted: Request, now: float = 1.0, excluded: Collection[str] = ()) -> Booking:
    booking = router.place(wanted, now, excluded)
    assert booking is not None
    return booking


def placed_on(router: Router, name: str, wanted: Request, now: float = 1.0) -> Booking:
    """Books it there, whatever the policy: all others are left out."""
    booking = placed(router, wanted, now, set(router.replicas) - {name})
    assert booking.replica.name == name
    return booking


def end(router: Router, *bookings: Booking, now: float = 2.0) -> None:
    for booking in bookings:
        router.first_token(booking, now)
        router.finish(booking, now + 1.0, 10)


def terms(booking: Booking) -> dict[str, dict[str, float]]:
    """The reasons, by replica."""
    decision = booking.decision
    assert decision
    return {
        name: {term: values[place] for term, values in decision.terms.items()}
        for place, name in enumerate(decision.candidates)
    }


def check_what_follows(table: ReplicaTable) -> None:
    """The columns that are kept up to date are what the others say."""
    assert (table.all_open == table.open_requests + table.others_open).all()
    assert (table.all_waiting == table.waiting_requests + table.others_waiting).all()
    assert table.booked_work == pytest.approx(table.waiting_work + table.others_work)
    has_room = table.present & ~table.leaving & (table.all_open < table.limit)
    assert ((table.room == 1.0) == has_room).all()
    assert ((table.closed == 0.0) == has_room).all()
    assert table.with_room == has_room.sum()
    assert (np.isinf(table.waiting_since) == (table.waiting_requests == 0)).all()


def _tokens(words: Collection[int]) -> list[int]:
    return [word for word in words for _ in range(WORD_TOKENS)]
