from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.engine.fake.kv_blocks import KvBlocks
from loadtest.simulator.engine import Engine
from loadtest.simulator.sequence import Sequence
from loadtest.simulator.speeds import H200

BLOCK = 16


class Stepwise(Engine):
    """Takes every step by itself."""

    def _steps_until_something(self) -> int:
        super()._steps_until_something()
        return 1


def workload(seed: int, count: int = 40, most_tokens: int = 600) -> list[tuple[float, Sequence]]:
    """Arrivals, some with a common beginning, some with none."""
    chance = random.Random(seed)
    at, made = 0.0, []
    for number in range(count):
        at += chance.expovariate(30)
        prompt, answer = chance.randrange(1, most_tokens), chance.randrange(1, 60)
        group, shared = chance.randrange(3), chance.randrange(20)
        blocks = (prompt + answer) // BLOCK
        keys = [group * 1000 + n if n < shared else 10**6 * (number + 1) + n for n in range(blocks)]
        made.append((at, Sequence(number, prompt, answer, keys)))
    return made


def run(engine: Engine, arrivals: list[tuple[float, Sequence]]) -> list[Sequence]:
    """To the end, with every invariant looked at after each event."""
    waiting, ended, now, firsts = list(arrivals), [], 0.0, []
    while waiting or engine.next_at < math.inf:
        if waiting and waiting[0][0] <= engine.next_at:
            at, sequence = waiting.pop(0)
            assert at >= now
            now = at
            engine.submit(sequence, now)
        else:
            assert engine.next_at >= now, "the clock went back"
            now = engine.next_at
            first, over = engine.advance()
            firsts += first
            ended += over
        assert (engine.next_at == math.inf) == (engine.live == 0), "idle with work to do"
        engine.blocks.check([s.allocation for s in engine.running if s.allocation])
        assert len(engine.running) <= engine._slots
    assert len(firsts) == len(set(firsts)) == len(ended) == len(set(ended)) == len(arrivals), "each once"
    assert engine.blocks.in_use == 0
    return ended


def engine_of(kind: type[Engine] = Engine, blocks: int = 400, slots: int = 12, budget: int = 128) -> Engine:
    return kind(replace(H200, kv_token_s=1e-6), slots, budget, KvBlocks(blocks, BLOCK))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([45, 60, 120, 400]), st.sampled_from([(12, 128), (3, 16), (40, 2048)]))
def test_requests_and_blocks_are_conserved_and_time_goes_on(seed: int, blocks: int, sizes: tuple[int, int]) -> None:
    for sequence in run(engine_of(Engine, blocks, *sizes), workload(seed)):
        times = [sequence.submitted_at, sequence.scheduled_at, sequence.first_token_at, sequence.ended_at]
        assert times == sorted(times), "submitted, scheduled, first token, end"
        assert sequence.first_token_at > sequence.scheduled_at
        assert sequence.cached_tokens < sequence.prompt_tokens


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([45, 60, 400]))
def test_spans_of_steps_are_the_steps_themselves(seed: int, blocks: int) -> None:
    fast, slow = engine_of(Engine, blocks), engine_of(Stepwise, blocks)
    by_span = {s.number: s for s in run(fast, workload(seed))}
    by_step = {s.number: s for s in run(slow, workload(seed))}
    assert (fast.steps, fast.preemptions) == (slow.steps, slow.preemptions)
    for number, one in by_span.items():
        other = by_step[number]
        assert one.first_token_at == pytest.approx(other.first_token_at, rel=1e-9)
        assert one.ended_at == pytest.approx(other.ended_at, rel=1e-9)
        assert (one.cached_tokens, one.preempted) == (other.cached_tokens, other.preempted)


def test_the_youngest_gives_way_and_nothing_is_lost() -> None:
    engine = engine_of(blocks=45)
    ended = run(engine, workload(3))
    assert engine.preemptions > 0
    assert any(sequence.preempted for sequence in ended)


def test_it_is_busy_exactly_while_it_has_work() -> None:
    engine = engine_of()
    arrivals = [(0.0, Sequence(0, 100, 10)), (100.0, Sequence(1, 100, 10))]
    first, second = run(engine, arrivals)
    assert engine.busy_s == pytest.approx(first.ended_at + second.ended_at - 100.0)


def test_a_long_prompt_is_computed_in_chunks_beside_answers() -> None:
    engine = engine_of(budget=64, blocks=4000)
    answering, long = Sequence(0, 10, 200), Sequence(1, 1000, 2)
    run(engine, [(0.0, answering), (0.05, long)])
    assert long.ended_at < answering.ended_at
    alone = Sequence(2, 1000, 2)
    run(engine_of(budget=64, blocks=4000), [(0.0, alone)])
    assert long.first_token_at - long.submitted_at > alone.first_token_at, "an answer's token takes of each step"


def test_a_prompt_that_is_there_costs_less() -> None:
    keys = list(range(50))
    cold, warm = Sequence(0, 800, 2, keys), Sequence(1, 800, 2, keys)
    run(engine_of(), [(0.0, cold), (10.0, warm)])
    assert warm.cached_tokens == 49 * BLOCK, "the last token is always computed"
    assert warm.first_token_at - 10.0 < cold.first_token_at / 3


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([45, 60, 400]))
def test_nobody_waits_for_what_is_free(seed: int, blocks: int) -> None:
    """Work conservation: after every step, who is first in line lacks a slot, blocks or tokens of the step's budget."""
    engine = engine_of(blocks=blocks, slots=5)
    waiting = list(workload(seed))
    while waiting or engine.next_at < math.inf:
        if waiting and waiting[0][0] <= engine.next_at:
            engine.submit(waiting[0][1], waiting.pop(0)[0])
            continue
        preemptions = engine.preemptions
        engine.advance()
        if engine.waiting and len(engine.running) < 5 and engine.preemptions == preemptions:
            planned = engine._decoding + sum(tokens for _, tokens in engine._chunks)
            first = engine.waiting[0]
            known = engine.blocks.matched(first.keys[: (first.target - 1) // BLOCK]) * BLOCK
            wanted = engine.blocks.blocks_for(min(first.target, known + 128 - planned))
            assert planned == 128 or wanted > blocks - engine.blocks.in_use
