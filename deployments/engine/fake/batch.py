"""Continuous batching without a clock: which sequences run in the next step, how long it takes, what it yields.

The policy is vLLM's: first come first served, running sequences before waiting ones, and when KV blocks run out the
youngest running sequence gives its blocks back and is computed again later.
"""

from __future__ import annotations

from asyncio import Event
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import Literal

from cluster.fleet import FakeEngine
from deployments.engine.fake.kv_blocks import Allocation, KvBlocks, chain_keys
from deployments.engine.fake.virtual_model import Answer

FinishReason = Literal["stop", "length", "abort"]

MOST_WAITING = 100_000


class TooManyWaiting(Exception):
    """The queue is full: the client must come back later."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One prompt and its growing answer.

    `token_ids` is the prompt, then the answer. `changed` is set at the end, and at each token where `streams` is true.
    """

    token_ids: list[int]
    most_new_tokens: int
    extra_keys: Mapping[int, str] = field(default_factory=dict)
    encode_s: float = 0.0
    """Seconds of work before the prompt's tokens: encoding the audio."""
    ignores_stop: bool = False
    streams: bool = False
    changed: Event = field(default_factory=Event)
    salt: str = ""
    images: SequenceOf[tuple[int, str]] = ()
    """First position and identity of each, in order. They and the salt are what `extra_keys` was made of."""
    finish_reason: FinishReason | None = None
    cached_tokens: int | None = None
    """Of the first admission; None before."""

    prompt_length: int = field(init=False)
    answer: Answer | None = field(init=False, default=None)
    allocation: Allocation | None = field(init=False, default=None)
    keys: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.token_ids = list(self.token_ids)
        self.prompt_length = len(self.token_ids)

    @property
    def new_tokens(self) -> int:
        return len(self.token_ids) - self.prompt_length

    @property
    def prompt(self) -> list[int]:
        return self.token_ids[: self.prompt_length]

    @property
    def output(self) -> list[int]:
        return self.token_ids[self.prompt_length :]

    def new_token(self, count: int) -> int:
        """The `count`-th token of the answer, from 1."""
        return self.token_ids[self.prompt_length + count - 1]


@dataclass(slots=True)
class Counters:
    """Since the start. Conserved: accepted = finished + aborted + live sequences."""

    accepted: int = 0
    finished: int = 0
    aborted: int = 0
    preempted: int = 0
    prompt_tokens: int = 0
    emitted_tokens: int = 0
    steps: int = 0


class Batch:
    """The sequences of one engine. `plan` and `finish_step` alternate; `submit` and `abort` may come in between."""

    def __init__(self, speed: FakeEngine, slots: int, blocks: KvBlocks) -> None:
        self.blocks = blocks
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.counters = Counters()
        self._speed = speed
        self._slots = slots

    @property
    def live(self) -> int:
        return len(self.running) + len(self.waiting)

    def submit(self, sequence: Sequence) -> None:
        """Queues a sequence that fits into the blocks when it is alone. Raises TooManyWaiting on a full queue."""
        assert self.blocks.blocks_for(sequence.prompt_length + sequence.most_new_tokens) <= self.blocks.count
        if len(self.waiting) >= MOST_WAITING:
            raise TooManyWaiting(f"{MOST_WAITING} requests wait already: try again later")
        if self.blocks.caches:
            sequence.keys = chain_keys(sequence.token_ids, self.blocks.block_size, sequence.extra_keys)
        sequence.answer = Answer(sequence.token_ids, self._speed.tokens_per_answer)
        self.counters.accepted += 1
        self.counters.prompt_tokens += sequence.prompt_length
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence) -> None:
        """Ends a sequence at once and frees its blocks; one that has ended already is left as it is."""
        if sequence.finish_reason is not None:
            return
        if sequence.allocation is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
        self.counters.aborted += 1
        self._end(sequence, "abort")

    def plan(self) -> float:
        """Decides the next step and returns its seconds, at the engine's nominal speed."""
        work_s = 0.0
        if self._make_room_for_running():
            work_s = self._admit()
        batch_s = self._speed.decode_step_s + self._speed.decode_step_per_sequence_s * len(self.running)
        return work_s + batch_s

    def finish_step(self) -> None:
        """One token for each running sequence, in order of admission."""
        self.counters.steps += 1
        going_on = []
        for sequence in self.running:
            self._publish_computed(sequence)
            assert sequence.answer is not None
            sequence.token_ids.append(sequence.answer.next_token())
            self.counters.emitted_tokens += 1
            if sequence.answer.is_over and not sequence.ignores_stop:
                self._finish(sequence, "stop")
            elif sequence.new_tokens >= sequence.most_new_tokens:
                self._finish(sequence, "length")
            else:
                going_on.append(sequence)
                if sequence.streams:
                    sequence.changed.set()
        self.running = going_on

    def _make_room_for_running(self) -> bool:
        """Room for one more token in each running sequence; False where one had to give way for it."""
        all_stay = True
        index = 0
        while index < len(self.running):
            sequence = self.running[index]
            assert sequence.allocation is not None
            if self.blocks.grow(sequence.allocation, len(sequence.token_ids)):
                index += 1
            else:
                self._preempt(self.running.pop())
                all_stay = False
        return all_stay

    def _admit(self) -> float:
        """Moves waiting sequences into the batch while slots and blocks allow; returns the seconds of their prefill."""
        work_s = 0.0
        while self.waiting and len(self.running) < self._slots:
            sequence = self.waiting[0]
            allocation = self.blocks.allocate(sequence.keys, len(sequence.token_ids))
            if allocation is None:
                break
            self.running.append(self.waiting.popleft())
            sequence.allocation = allocation
            if sequence.cached_tokens is None:
                sequence.cached_tokens = allocation.cached_tokens
            uncached_tokens = len(sequence.token_ids) - allocation.cached_tokens
            work_s += sequence.encode_s + uncached_tokens / self._speed.prefill_tokens_per_s
        return work_s

    def _preempt(self, sequence: Sequence) -> None:
        assert sequence.allocation is not None
        self.counters.preempted += 1
        self.blocks.free(sequence.allocation)
        sequence.allocation = None
        self.waiting.appendleft(sequence)

    def _publish_computed(self, sequence: Sequence) -> None:
        """The step computed every token but the one that it is about to yield."""
        if not self.blocks.caches:
            return
        assert sequence.allocation is not None
        size = self.blocks.block_size
        full, known, published = len(sequence.token_ids) // size, len(sequence.keys), len(sequence.allocation.keys)
        if full > known:
            filled = sequence.token_ids[known * size : full * size]
            sequence.keys += chain_keys(filled, size, sequence.extra_keys, after=sequence.keys)
        if full > published:
            self.blocks.publish(sequence.allocation, sequence.keys[published:full], sequence)

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        self.counters.finished += 1
        self._end(sequence, reason)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        if sequence.allocation is not None:
            self.blocks.free(sequence.allocation)
            sequence.allocation = None
        sequence.finish_reason = reason
        sequence.changed.set()
