from __future__ import annotations

from collections import Counter

from deployments.routing import Request
from tests.support.routers import add, placed, request, router_of


def test_a_session_stays_where_it_is_whatever_the_load_and_the_prompt() -> None:
    router = router_of("session-hash", *"abcdef")
    bookings = [placed(router, request(router, n, session="s")) for n in range(50)]
    assert len({booking.replica.name for booking in bookings}) == 1


def test_two_gateways_and_any_order_of_replicas_agree_on_a_session() -> None:
    one, two = router_of("session-hash", *"abcdef"), router_of("session-hash", *"fdbeca", seed=9)
    for n in range(50):
        asked = Request(tokens=5, session=f"tenant:{n}")
        assert placed(one, asked).replica.name == placed(two, asked).replica.name


def test_without_a_session_the_beginning_of_the_prompt_decides() -> None:
    router = router_of("session-hash", *"abcdef")
    homes = {word: placed(router, request(router, word, 1)).replica.name for word in range(2, 30)}
    assert len(set(homes.values())) > 3
    assert all(placed(router, request(router, word, 77, 78)).replica.name == home for word, home in homes.items())


def test_with_nothing_to_go_by_chance_decides() -> None:
    router = router_of("session-hash", *"abc")
    counts = Counter(placed(router, Request(audio_s=3.0)).replica.name for _ in range(300))
    assert min(counts[name] for name in "abc") > 60


def test_a_session_is_away_only_while_its_home_is() -> None:
    router = router_of("session-hash", *"abcd")
    asked = Request(tokens=5, session="s")
    home = placed(router, asked).replica
    router.eject(home, 5.0)
    away = {placed(router, asked, now).replica.name for now in (2.0, 3.0, 4.9)}
    assert len(away) == 1
    assert home.name not in away
    assert placed(router, asked, 5.0).replica is home
    router.remove(home.incarnation)
    assert {placed(router, asked, 6.0).replica.name} == away
    add(router, home.name)
    assert placed(router, asked, 7.0).replica.name == home.name, "a restart under its name"
