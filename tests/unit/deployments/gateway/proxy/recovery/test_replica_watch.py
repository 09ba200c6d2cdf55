from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.replica_watch import (
    ALONE_AFTER_S,
    AVOID_AFTER_S,
    CHECK_AFTER_S,
    CHECK_S,
    FROZEN_AFTER_S,
    TICK_S,
    ReplicaWatch,
)
from deployments.routing import Replica
from tests.support.virtual_time import run

SOON = 2 * TICK_S
A = Replica("a", "a1", "pool", 0)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Answer:
    """An answer under way, and when it was found to be of a frozen replica."""

    waiting_since: float | None = field(default_factory=now)
    frozen_at: float | None = None

    def freeze(self, silent_s: float) -> None:
        if self.frozen_at is None:
            self.frozen_at = now()
            self.silent_s = silent_s


@dataclass(eq=False)
class Model:
    """One model's admission: `others` replicas beside the watched one, and when that was avoided."""

    others: bool = True
    avoided_at: list[float] = field(default_factory=list)

    def avoid(self, replica: Replica, seconds: float) -> None:
        assert replica is A
        assert seconds > TICK_S, "or it would be used between two looks"
        self.avoided_at.append(now())

    def has_better(self, replica: Replica) -> bool:
        return self.others


@dataclass(eq=False)
class Engine:
    """Answers its health checks after `delay_s`."""

    delay_s: float = 0.01
    health: Health = Health.ALIVE
    checks: int = 0

    async def check(self, url: str) -> Health:
        assert url == "http://a"
        self.checks += 1
        await asyncio.sleep(self.delay_s)
        return self.health


async def watch(
    engine: Engine, model: Model, seconds: float, *answers: Answer, heard_at: tuple[float, ...] = ()
) -> None:
    """Watches answers for so long; at some of these times bytes come of one of them."""
    watching = ReplicaWatch(engine.check)
    began = now()
    with watching.watching("http://a", A, model, answers[0]) as watched:
        for answer in answers[1:]:
            watched.answers.add(answer)
        for at in heard_at:
            await asyncio.sleep(began + at - now())
            watched.heard_at = now()
        await asyncio.sleep(began + seconds - now())
        watched.answers.clear()
        watched.answers.add(answers[0])
    assert not watching._watched
    watching.close()


def outcome(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run(test())


def test_a_frozen_replica_is_avoided_after_two_seconds_and_given_up_after_five() -> None:
    async def test() -> None:
        model, answer, other = Model(), Answer(), Answer()
        await watch(Engine(1e6), model, 8.0, answer, other)
        assert AVOID_AFTER_S <= model.avoided_at[0] <= AVOID_AFTER_S + SOON
        assert max(b - a for a, b in zip(model.avoided_at, model.avoided_at[1:], strict=False)) < SOON
        for one in (answer, other):
            assert one.frozen_at is not None
            assert FROZEN_AFTER_S <= one.frozen_at <= FROZEN_AFTER_S + SOON
            assert one.silent_s == pytest.approx(one.frozen_at, abs=0.01)

    outcome(test)


@pytest.mark.parametrize("delay_s", [0.01, 0.9])
def test_a_replica_that_answers_its_health_check_may_be_silent_for_ever(delay_s: float) -> None:
    async def test() -> None:
        engine, model, answer = Engine(delay_s), Model(), Answer()
        await watch(engine, model, 300.0, answer)
        assert (model.avoided_at, answer.frozen_at) == ([], None)
        assert 300 / (CHECK_AFTER_S + delay_s + SOON) - 1 <= engine.checks <= 300 / CHECK_AFTER_S

    outcome(test)


def test_a_health_check_that_is_answered_late_costs_new_requests_and_nothing_else() -> None:
    async def test() -> None:
        model, answer = Model(), Answer()
        await watch(Engine(CHECK_S - 0.1), model, 60.0, answer)
        assert model.avoided_at != []
        assert answer.frozen_at is None

    outcome(test)


def test_one_check_without_an_answer_is_no_proof() -> None:
    async def test() -> None:
        engine, answer = Engine(1e6), Answer()
        asyncio.get_running_loop().call_later(CHECK_AFTER_S + CHECK_S + 0.01, setattr, engine, "delay_s", 0.1)
        await watch(engine, Model(), 20.0, answer)
        assert answer.frozen_at is None

    outcome(test)


def test_bytes_of_one_answer_speak_for_all_at_the_replica() -> None:
    async def test() -> None:
        engine, model, silent, busy = Engine(1e6), Model(), Answer(), Answer()
        await watch(engine, model, 10.0, silent, busy, heard_at=tuple(n * 0.9 for n in range(1, 12)))
        assert (engine.checks, model.avoided_at, silent.frozen_at) == (0, [], None)

    outcome(test)


def test_where_nothing_is_waited_for_nothing_is_checked() -> None:
    """Its client does not read."""

    async def test() -> None:
        engine, answer = Engine(1e6), Answer(waiting_since=None)
        await watch(engine, Model(), 60.0, answer)
        assert (engine.checks, answer.frozen_at) == (0, None)

    outcome(test)


def test_answers_that_do_not_wait_are_not_given_up_with_those_that_do() -> None:
    async def test() -> None:
        waiting, paused = Answer(), Answer(waiting_since=None)
        await watch(Engine(1e6), Model(), 8.0, waiting, paused)
        assert waiting.frozen_at is not None
        assert paused.frozen_at is None

    outcome(test)


def test_the_only_replica_is_given_more_time() -> None:
    async def test() -> None:
        answer = Answer()
        await watch(Engine(1e6), Model(others=False), 30.0, answer)
        assert answer.frozen_at is not None
        assert ALONE_AFTER_S <= answer.frozen_at <= ALONE_AFTER_S + SOON

    outcome(test)


def test_a_replica_that_is_dead_is_not_taken_for_frozen() -> None:
    async def test() -> None:
        answer = Answer()
        await watch(Engine(health=Health.DEAD), Model(), 20.0, answer)
        assert answer.frozen_at is None

    outcome(test)


def test_a_process_that_stood_still_itself_blames_nobody() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        engine, model, answer = Engine(), Model(), Answer()

        def stand_still() -> None:
            loop._selector.now += 30.0  # type: ignore[attr-defined]  # the virtual clock

        loop.call_later(0.6, stand_still)
        await watch(engine, model, 32.0, answer)
        assert (model.avoided_at, answer.frozen_at) == ([], None)

    outcome(test)
