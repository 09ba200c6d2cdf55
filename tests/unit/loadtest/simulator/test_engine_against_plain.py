"""The virtual engine against one written a second time, the obvious way: each step looks at every sequence."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engine.fake.kv_blocks import Allocation, KvBlocks
from loadtest.simulator.engine import Engine
from loadtest.simulator.sequence import Sequence
from loadtest.simulator.speeds import H200


@dataclass(eq=False)
class Asked:
    """A request, and what became of it."""

    at: float
    prompt: int
    output: int
    keys: list[int]
    computed: int = 0
    emitted: int = 0
    decodes: bool = False
    allocation: Allocation = field(default_factory=lambda: Allocation([], [], 0))
    scheduled_at: float = math.nan
    first_at: float = math.nan
    ended_at: float = math.nan
    cached: int = 0
    preempted: int = 0


@dataclass(frozen=True)
class Case:
    """Sizes that leave some cases without a free block, a free slot or budget, and requests that arrive in bursts."""

    blocks: int
    block_tokens: int
    slots: int
    budget: int
    requests: list[Asked]

    @classmethod
    def drawn(cls, seed: int) -> Case:
        chance = random.Random(seed)
        size, blocks, slots = chance.choice([1, 4, 16]), 4 * chance.randint(12, 60), chance.randint(1, 8)
        third = blocks * size // 3
        at, requests = 0.0, []
        for number in range(chance.randint(5, 60)):
            at += chance.expovariate(chance.choice([20, 60, 200]))
            prompt, output = chance.randint(1, min(third, 150)), chance.randint(1, min(third, 60))
            group, shared = chance.randrange(4), chance.randint(0, prompt // size)
            keys = [1000 * group + n if n < shared else 10**6 + 1000 * number + n for n in range(150 + 60)]
            requests.append(Asked(at, prompt, output, keys[: (prompt + output) // size]))
        return cls(blocks, size, slots, chance.randint(max(slots, 4), 64), requests)


def run_plain(case: Case, blocks: KvBlocks) -> float:
    """All requests to their ends; seconds of work."""
    running: list[Asked] = []
    waiting: deque[Asked] = deque()
    arriving = deque(case.requests)
    now = busy_s = 0.0
    while arriving or running or waiting:
        if not running and not waiting:
            now = max(now, arriving[0].at)
        while arriving and arriving[0].at <= now:
            waiting.append(arriving.popleft())
        step_s = H200.step_s
        for one, tokens in planned(case, blocks, running, waiting, now):
            if one.decodes:
                step_s += H200.sequence_s + one.computed * H200.kv_token_s
            else:
                step_s += tokens * H200.token_s + tokens * (one.computed + tokens / 2) * H200.pair_s
            one.computed += tokens
        now, busy_s = now + step_s, busy_s + step_s
        for one in list(running):
            finish_step(one, blocks, running, now)
    return busy_s


def planned(
    case: Case, blocks: KvBlocks, running: list[Asked], waiting: deque[Asked], now: float
) -> list[tuple[Asked, int]]:
    """Who computes how many tokens in the next step."""
    left, plan, nobody_gave_way = case.budget, [], True
    for one in list(running):
        tokens = min(one.prompt + one.emitted - one.computed, left)
        while tokens and one in running and not blocks.grow(one.allocation, one.computed + tokens):
            youngest = running.pop()
            blocks.free(youngest.allocation)
            youngest.computed, youngest.decodes, youngest.preempted = 0, False, youngest.preempted + 1
            waiting.appendleft(youngest)
            nobody_gave_way = False
        if tokens and one in running:
            plan.append((one, tokens))
            left -= tokens
    while nobody_gave_way and waiting and left and len(running) < case.slots:
        one = waiting[0]
        wanted = one.prompt + one.emitted
        known = blocks.matched(one.keys[: (wanted - 1) // case.block_tokens]) * case.block_tokens
        tokens = min(wanted - known, left)
        allocation = blocks.allocate(one.keys, known + tokens)
        if allocation is None:
            break
        running.append(waiting.popleft())
        one.allocation, one.computed = allocation, known
        if math.isnan(one.scheduled_at):
            one.scheduled_at, one.cached = now, known
        plan.append((one, tokens))
        left -= tokens
    return plan


def finish_step(one: Asked, blocks: KvBlocks, running: list[Asked], now: float) -> None:
    full, published = one.computed // blocks.block_size, len(one.allocation.keys)
    if full > published:
        blocks.publish(one.allocation, one.keys[published:full])
    if one.computed < one.prompt + one.emitted:
        return
    one.emitted, one.decodes = one.emitted + 1, True
    if one.emitted == 1:
        one.first_at = now
    if one.emitted == one.output:
        one.ended_at = now
        blocks.free(one.allocation)
        running.remove(one)


def run_engine(case: Case, blocks: KvBlocks) -> tuple[Engine, list[Sequence]]:
    engine = Engine(H200, case.slots, case.budget, blocks)
    arriving = deque((a.at, Sequence(n, a.prompt, a.output, a.keys)) for n, a in enumerate(case.requests))
    sequences = [sequence for _, sequence in arriving]
    while arriving or engine.live:
        if arriving and arriving[0][0] < engine.next_at:
            at, sequence = arriving.popleft()
            engine.submit(sequence, at)
        else:
            engine.advance()
    return engine, sequences


@given(st.integers(0, 10**6))
def test_both_do_the_same_at_the_same_times(seed: int) -> None:
    case = Case.drawn(seed)
    plain_blocks, blocks = (KvBlocks(case.blocks, case.block_tokens) for _ in range(2))
    busy_s = run_plain(case, plain_blocks)
    engine, sequences = run_engine(case, blocks)
    assert engine.busy_s == pytest.approx(busy_s)
    for plain, sequence in zip(case.requests, sequences, strict=True):
        assert (sequence.cached_tokens, sequence.preempted) == (plain.cached, plain.preempted)
        times = (sequence.scheduled_at, sequence.first_token_at, sequence.ended_at)
        assert times == pytest.approx((plain.scheduled_at, plain.first_at, plain.ended_at))
    assert blocks.cached_keys == plain_blocks.cached_keys


def test_the_cases_are_hard_enough() -> None:
    cases = [Case.drawn(seed) for seed in range(20)]
    for case in cases:
        run_plain(case, KvBlocks(case.blocks, case.block_tokens))
    requests = [asked for case in cases for asked in case.requests]
    assert sum(asked.preempted for asked in requests) > 20
    assert sum(asked.cached for asked in requests) > 1000
    assert any(asked.scheduled_at > asked.at for asked in requests)
