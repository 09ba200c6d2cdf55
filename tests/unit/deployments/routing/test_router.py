from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kv_cache.events import Cleared, Removed, Stored
from deployments.routing import Booking, Request, Router
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of
from tests.support.block_index import apply_events
from tests.support.routers import check_what_follows

H200 = seed_of("h200")


def router_of(*names: str, policy: str = "seconds", limit: int = 1000, prefixes: bool = True) -> Router:
    router = Router("m", policy, prefixes=prefixes, seed=1)
    for name in names:
        router.add(name, f"{name}1", "pool", limit, H200, kv_tokens=160_000)
    return router


def request(router: Router, *words: int, **fields: object) -> Request:
    """A prompt of 160 tokens for each word."""
    tokens = [word for word in words for _ in range(160)]
    keys = router.index.prompt_keys(Prompt(tokens))
    return Request(tokens=len(tokens), keys=keys, **fields)  # type: ignore[arg-type]


def hold(router: Router, name: str, *words: int) -> None:
    """The engine of that replica tells that it has this prompt."""
    tokens = [word for word in words for _ in range(160)]
    names = [(name, words, n) for n in range(len(tokens) // 16)]
    apply_events(router, router.replicas[f"{name}1"], [Stored(names, None, tokens, 16)])


def placed(router: Router, wanted: Request, now: float = 1.0, excluded: tuple[str, ...] = ()) -> Booking:
    booking = router.place(wanted, now, excluded)
    assert booking is not None
    return booking


def test_a_prompt_goes_where_its_beginning_lies() -> None:
    router = router_of("a", "b", "c")
    hold(router, "b", 1, 2)
    booking = placed(router, request(router, 1, 2, 3))
    assert (booking.replica.name, booking.cached_tokens) == ("b", 320)


def test_but_not_when_the_way_there_is_longer() -> None:
    router = router_of("a", "b")
    hold(router, "b", 1)
    for _ in range(30):
        busy = placed(router, request(router, 7, 8, 9), excluded=("a1",))
        assert busy.replica.name == "b"
    assert placed(router, request(router, 1, 2)).replica.name == "a"


def test_a_burst_with_one_prefix_follows_its_first_ahead_of_any_event() -> None:
    router = router_of("a", "b", "c", "d")
    first = placed(router, request(router, *range(1, 40)), 1.0)
    second = placed(router, request(router, *range(1, 40), 50), 1.001)
    assert second.replica is first.replica
    assert 38 * 160 < second.cached_tokens <= 39 * 160


def test_equal_requests_spread_over_equal_replicas() -> None:
    router = router_of(*"abcd")
    counts = Counter(placed(router, Request(tokens=1000)).replica.name for _ in range(40))
    assert counts == dict.fromkeys("abcd", 10)


def test_replicas_get_work_by_their_speed() -> None:
    router = Router("m", seed=1)
    for name, factor in (("slow", 3.0), ("fast", 1.0)):
        router.add(name, name, name, 1000, H200.times(factor, "test"))
    counts: Counter[str] = Counter()
    now, busy_until = 0.0, {"slow": 0.0, "fast": 0.0}
    under_way: list[tuple[float, Booking]] = []
    for _ in range(400):
        now += 0.045  # nine tenths of what both do together
        for at, ended in [one for one in under_way if one[0] <= now]:
            router.first_token(ended, at)
            router.finish(ended, at, 1)
            under_way.remove((at, ended))
        booking = placed(router, Request(tokens=2000), now)
        name = booking.replica.name
        counts[name] += 1
        busy_until[name] = max(now, busy_until[name]) + {"slow": 0.16, "fast": 0.056}[name]
        under_way.append((busy_until[name], booking))
    share = counts["fast"] / counts["slow"]
    assert 0.16 / 0.056 < share < 6, "more than by speed, since who is fast is sooner there; but the slow one works too"


def test_a_long_prompt_goes_where_few_wait_once_queues_are_long() -> None:
    """Not where the queue is shortest in seconds: the short prompts that come next would wait behind it."""
    router = router_of("a", "b")
    for _ in range(40):
        placed(router, Request(tokens=1000), excluded=("b1",))
    for _ in range(3):
        placed(router, Request(tokens=21_000), excluded=("a1",))
    waiting = router.table.waiting_seconds(np.array([router.replicas[i].row for i in ("a1", "b1")]), 1.0)
    assert waiting[1] > waiting[0]
    assert placed(router, Request(tokens=20_000)).replica.name == "b"


def test_speed_is_learned_from_first_tokens() -> None:
    router = router_of("a", "b")
    true_speed = {"a": 1.0, "b": 4.0}
    now = 0.0
    busy_until = dict.fromkeys(true_speed, 0.0)
    for _ in range(60):
        booking = placed(router, Request(tokens=3000), now)
        name = booking.replica.name
        busy_until[name] = max(now, busy_until[name]) + 0.1 * true_speed[name]
        router.first_token(booking, busy_until[name])
        router.finish(booking, busy_until[name] + 1, 100)
        now = max(busy_until.values()) if random.Random(1).random() < 0.5 else now + 0.01
    a, b = (router.scale(router.replicas[i]) for i in ("a1", "b1"))
    assert b.value / a.value == pytest.approx(4, rel=0.25)
    assert a.token_s == pytest.approx(1 / 99)


def test_full_leaving_ejected_and_excluded_replicas_are_not_chosen() -> None:
    router = router_of("a", "b", "c", "d", limit=1)
    placed(router, Request(tokens=1), excluded=("b1", "c1", "d1"))
    router.remove("b1")
    router.eject(router.replicas["c1"], 5.0)
    assert placed(router, Request(tokens=1), 1.0).replica.name == "d"
    assert router.place(Request(tokens=1), 1.0) is None
    assert placed(router, Request(tokens=1), 5.0).replica.name == "c", "its ejection is over"


def test_where_all_have_failed_a_request_they_are_asked_again() -> None:
    router = router_of("a", "b")
    assert placed(router, Request(tokens=1), excluded=("a1",)).replica.name == "b"
    assert placed(router, Request(tokens=1), excluded=("a1", "b1", "gone")).replica.name in "ab"
    assert router_of("a").place(Request(tokens=1), 1.0, ("a1",)) is not None
    assert Router("m").place(Request(tokens=1), 1.0) is None


def test_nothing_to_key_on_is_usual() -> None:
    router = router_of("a", "b")
    for odd in (Request(), Request(audio_s=12.5), Request(tokens=5), Request(tokens=0, keys=[1, 2])):
        booking = placed(router, odd)
        router.finish(booking, 2.0, None, 0)
    assert not router.table.open_requests.any()


def test_mlperf_mode_knows_no_prefixes() -> None:
    router = router_of("a", "b", prefixes=False)
    hold(router, "b", 1, 2)
    bookings = [placed(router, request(router, 1, 2)) for _ in range(20)]
    assert {booking.cached_tokens for booking in bookings} == {0}
    assert Counter(booking.replica.name for booking in bookings) == {"a": 10, "b": 10}


def test_the_reasons_add_up() -> None:
    router = router_of("a", "b", "c")
    hold(router, "b", 1, 2)
    placed(router, request(router, 5))
    decision = placed(router, request(router, 1, 2, 3)).decision
    assert decision
    told = json.loads(json.dumps(decision.as_dict()))
    assert told["chosen"] == told["candidates"][0]["replica"] == "b"
    assert len(told["candidates"]) == 3
    for one in told["candidates"]:
        parts = one["waiting_s"] + one["own_s"] + one["others_s"] + one["decoding_s"]
        assert one["price_s"] == pytest.approx(parts, abs=5e-6)
    assert told["candidates"][0]["price_s"] == min(one["price_s"] for one in told["candidates"])
    assert told["decision_s"] > 0


def test_a_deadline_keeps_the_request_from_replicas_that_are_too_late() -> None:
    def loaded() -> Router:
        router = router_of("a", "b")
        hold(router, "b", *range(1, 60))
        for n in range(12):
            placed(router, request(router, *range(100 * n, 100 * n + 50)), excluded=("a1",))
        for n in range(4):
            placed(router, request(router, *range(100 * n + 50, 100 * n + 99)), excluded=("b1",))
        return router

    patient = placed(loaded(), request(loaded(), *range(1, 62)))
    assert patient.replica.name == "b", "its prefix is worth the wait"
    in_a_hurry = placed(loaded(), request(loaded(), *range(1, 62), deadline=1.0 + patient.first_token_s - 0.2))
    assert in_a_hurry.replica.name == "a"
    hopeless = placed(loaded(), request(loaded(), *range(1, 62), deadline=1.0))
    assert hopeless.first_token_s == min(in_a_hurry.first_token_s, patient.first_token_s)


def test_an_urgent_request_pays_less_of_the_price_for_others() -> None:
    def others(priority: int) -> float:
        router = router_of("a")
        for _ in range(9):
            placed(router, Request(tokens=5000))
        decision = placed(router, Request(tokens=5000, priority=priority)).decision
        assert decision
        return float(decision.terms["others_s"][decision.chosen])

    assert others(-1) == pytest.approx(2 * others(0))
    assert others(3) == pytest.approx(others(0) / 8)
    assert others(8) == others(800)


def test_engines_that_find_less_than_predicted_are_trusted_less() -> None:
    router = router_of("a", "b")
    for name in ("a", "b"):
        hold(router, name, *range(1, 40))
    for found in (0, 0, 0):
        booking = placed(router, request(router, *range(1, 40)), excluded=("a1",))
        router.first_token(booking, 2.0)
        router.finish(booking, 3.0, 10, found)
    trust = router.table.trust
    assert trust[router.replicas["b1"].row] < 0.2
    assert trust[router.replicas["a1"].row] == 1.0
    assert placed(router, request(router, *range(1, 40))).replica.name == "a"


def test_a_feed_with_a_gap_counts_for_less() -> None:
    router = router_of("a", "b")
    for name in ("a", "b"):
        hold(router, name, *range(1, 40))
    router.believe(router.replicas["a1"], 0.5)
    assert placed(router, request(router, *range(1, 40))).replica.name == "b"
    router.believe(router.replicas["a1"], 1.0)
    assert router.table.trust[router.replicas["a1"].row] == 1.0


def test_events_of_a_replica_that_left_are_ignored() -> None:
    router = router_of("a")
    gone = router.replicas["a1"]
    router.remove("a1")
    for event in (Stored([1], None, [1] * 16, 16), Removed([1]), Cleared()):
        apply_events(router, gone, [event])
    router.clear(gone)
    router.believe(gone, 0.0)
    assert router.index.keys == 0


def test_two_gateways_know_each_others_bookings() -> None:
    one, two = router_of("a", "b", limit=10), router_of("a", "b", limit=10)
    mine = [placed(one, Request(tokens=3000), excluded=("b1",)) for _ in range(6)]
    two.set_others("one", one.open_bookings())
    counts = Counter(placed(two, Request(tokens=3000)).replica.name for _ in range(6))
    assert counts == {"b": 6}
    assert placed(two, Request(tokens=1), excluded=("b1",)).replica.name == "a"
    for _ in range(3):
        placed(two, Request(tokens=1), excluded=("b1",))
    assert all(placed(two, Request(tokens=1), excluded=("a1",)).replica.name == "b" for _ in range(4))
    assert two.place(Request(tokens=1), 1.0) is None, "the limit counts what both have open"
    for booking in mine:
        one.release(booking, 2.0)
    two.set_others("one", one.open_bookings())
    assert not two.table.others_open.any()
    assert not two.table.others_work.any()
    two.set_others("one", one.open_bookings())


def test_others_bookings_on_unknown_replicas_do_not_matter() -> None:
    one, two = router_of("a", "x"), router_of("a")
    placed(one, Request(tokens=3000), excluded=("a1",))
    two.set_others("one", one.open_bookings())
    assert not two.table.others_open.any()


@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_bookings_are_conserved_whatever_happens(chance: random.Random, replicas: int) -> None:
    router = Router("m", seed=chance.randrange(100))
    names = [f"r{n}" for n in range(replicas)]
    for name in names:
        router.add(name, name, "pool", 4, H200.times(chance.choice([1, 3]), "test"), kv_tokens=100_000)
    now, open_ones = 0.0, []
    for _ in range(150):
        now += chance.random() / 100
        match chance.randrange(6):
            case 0 | 1:
                keys = [chance.randrange(5) for _ in range(chance.randrange(4))]
                wanted = Request(tokens=chance.randrange(200), keys=keys, streams=chance.random() < 0.5)
                if booking := router.place(wanted, now):
                    open_ones.append(booking)
            case 2 if open_ones:
                router.first_token(chance.choice(open_ones), now)
            case 3 if open_ones:
                router.finish(open_ones.pop(chance.randrange(len(open_ones))), now, chance.choice([None, 0, 1, 50]), 3)
            case 4 if open_ones:
                booking = open_ones.pop(chance.randrange(len(open_ones)))
                router.release(booking, now)
                router.release(booking, now)
                router.finish(booking, now)
            case 5:
                name = chance.choice(names)
                if name in router.replicas:
                    router.remove(name)
                else:
                    router.add(name, name, "pool", 4, H200)
        assert router.table.open_requests.sum() == len(open_ones)
        assert (router.table.open_requests <= 4).all()
        assert router.table.waiting_requests.sum() == sum(b.first_token_at is None for b in open_ones)
        assert (router.table.waiting_work >= 0).all()
        check_what_follows(router.table)
    for booking in open_ones:
        router.release(booking, now)
    table = router.table
    assert not any(column.any() for column in (table.open_requests, table.waiting_work, table.open_tokens))
    assert table.present.sum() == len(router.replicas)


def test_chance_repeats_with_its_seed() -> None:
    def choices() -> list[str]:
        router = router_of(*"abcdef")
        return [placed(router, Request(tokens=10)).replica.name for _ in range(30)]

    assert choices() == choices()


def test_seconds_and_milliseconds_lead_to_the_same_choices() -> None:
    """Nothing that was tuned on seconds: a fleet a thousand times as fast chooses as the slow one does."""

    def choices(unit: float) -> list[str]:
        router = Router("m", seed=1)
        chance = random.Random(3)
        for n in range(6):
            seed = replace(H200.times(unit * (1 + n % 3), "test"), request_s=H200.request_s * unit)
            router.add(f"r{n}", f"r{n}", f"pool {n % 3}", 10_000, seed)
        made = []
        for turn in range(200):
            words = [chance.randrange(4), *(chance.randrange(10**6) for _ in range(chance.randrange(1, 60)))]
            booking = placed(router, request(router, *words), 0.001 * turn * unit)
            made.append(booking.replica.name)
            if turn % 3 == 0:
                router.first_token(booking, (0.001 * turn + 0.05) * unit)
        return made

    assert choices(1.0) == choices(1 / 1024)


def test_a_request_of_many_sequences_is_booked_as_many_and_teaches_no_speed() -> None:
    router = router_of("a")
    scale = router.scale(router.replicas["a1"])
    booking = placed(router, Request(tokens=1000, sequences=16), 1.0)
    assert int(router.table.open_requests.sum()) == 16
    router.first_token(booking, 1.5)
    router.finish(booking, 2.0, 1600)
    assert int(router.table.open_requests.sum()) == 0
    assert not router.table.waiting_work.any()
    assert scale.observations == 0
    assert router.output_tokens < 256, "100 tokens each"


def test_slot_seconds_are_the_prompts_and_those_of_every_answer() -> None:
    router = router_of("a", "b")
    assert Router("m").slot_seconds(Request(tokens=10), 100) == 0
    one = router.slot_seconds(Request(tokens=1000), 100)
    assert router.slot_seconds(Request(tokens=2000), 100) > one
    assert router.slot_seconds(Request(tokens=1000, sequences=8), 100) > 4 * one
