"""Replicas that report nothing of their caches: the router's own bookings are all that is known."""

from __future__ import annotations

from deployments.routing import Booking, Request, Router
from deployments.routing.prompt import Prompt
from deployments.routing.router import UNREPORTED_FOR_S
from deployments.routing.seeds import seed_of

H200 = seed_of("h200")


def router_of(*, reports: bool) -> Router:
    router = Router("m", seed=1)
    for name in ("a", "b"):
        router.add(name, name, "pool", 1000, H200, kv_tokens=160_000, reports_cache=reports)
    return router


def ask(router: Router, word: int, now: float) -> Booking:
    """A long prompt, answered at once."""
    keys = router.index.prompt_keys(Prompt([word] * 1600))
    booking = router.place(Request(tokens=1600, keys=keys), now)
    assert booking is not None
    router.first_token(booking, now)
    router.finish(booking, now, 1)
    return booking


def test_prompt_returns_to_the_unreporting_replica_that_had_it() -> None:
    router = router_of(reports=False)
    first = ask(router, 1, now=1.0)
    again = [ask(router, 1, now=1.0 + minutes * 60) for minutes in range(1, 9)]
    assert {each.replica.name for each in again} == {first.replica.name}
    assert all(each.cached_tokens > 1000 for each in again)


def test_booking_is_forgotten_after_its_time() -> None:
    router = router_of(reports=False)
    ask(router, 1, now=1.0)
    assert ask(router, 1, now=2.0 + UNREPORTED_FOR_S).cached_tokens == 0


def test_reporting_replicas_word_is_waited_for_as_before() -> None:
    router = router_of(reports=True)
    ask(router, 1, now=1.0)
    assert ask(router, 1, now=60.0).cached_tokens == 0


def test_lasting_expectations_do_not_keep_short_ones_alive() -> None:
    router = Router("m", seed=1)
    router.add("silent", "silent", "pool", 1000, H200, reports_cache=False)
    ask(router, 1, now=1.0)
    router.add("told", "told", "pool", 1000, H200)
    keys = router.index.prompt_keys(Prompt([2] * 1600))
    booking = router.place(Request(tokens=1600, keys=keys), 2.0, excluded={"silent"})
    assert booking is not None
    router.index.expire(100.0)
    assert router.index.matches(keys) == []
    assert router.index.matches(router.index.prompt_keys(Prompt([1] * 1600))) != []
