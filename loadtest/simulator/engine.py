"""A virtual engine: continuous batching with chunked prefill as in vLLM's V1 scheduler, on a clock that it is told.

A step has a budget of tokens. Running sequences come first, in order of admission: those that decode compute one token
each, one that is in its prefill gets what is left, and what is still left admits waiting ones, first come first
served, while slots and blocks allow. When a running sequence needs a block and none is free, the youngest gives its
blocks back and is computed again later. Nobody is admitted in a step that took blocks away.

Steps in which nobody joins, ends or needs a block are taken in one: a span. What decodes is not touched in it: how far
each is follows from the number of steps since it began.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush

from deployments.engine.fake.kv_blocks import KvBlocks
from loadtest.simulator.sequence import Sequence
from loadtest.simulator.speeds import Speed


class Engine:
    """One replica. `submit` and `advance` are called in the order of time; `next_at` says when `advance` is due.

    Attributes:
        next_at: when the span in progress ends; infinite while the engine is idle.
        running, waiting: in order of admission, in order of service.
        busy_s: seconds in which it worked.
    """

    def __init__(self, speed: Speed, slots: int, budget: int, blocks: KvBlocks) -> None:
        assert budget >= slots, "every sequence that decodes takes a token of the budget"
        self.speed, self.blocks = speed, blocks
        self.next_at = math.inf
        self.running: dict[Sequence, None] = {}
        self.waiting: deque[Sequence] = deque()
        self.busy_s = 0.0
        self.steps = 0
        self.preemptions = 0
        self._slots, self._budget = slots, budget
        self._size = blocks.block_size
        self._admitted = 0
        self._decoding = 0
        self._context = 0
        """Tokens that the sequences that decode read in the next step."""
        self._partial: Sequence | None = None
        """The youngest, while its prefill is not done."""
        self._chunks: list[tuple[Sequence, int]] = []
        self._growing: dict[int, list[Sequence]] = {}
        self._ending: dict[int, list[Sequence]] = {}
        self._marks: list[int] = []
        """Steps at whose start or end something may be due. Some are of sequences that are gone."""
        self._span_at, self._span_steps, self._flat_s, self._all_s = 0.0, 0, 0.0, 0.0
        self._may_admit = True

    @property
    def live(self) -> int:
        return len(self.running) + len(self.waiting)

    def submit(self, sequence: Sequence, now: float) -> None:
        """Queues a sequence, which must fit into the blocks when it is alone."""
        assert self.blocks.blocks_for(sequence.tokens) <= self.blocks.count, "a sequence larger than the KV cache"
        sequence.submitted_at = now
        self.waiting.append(sequence)
        if self.next_at == math.inf:
            self._plan(now)
        elif self._span_steps > 1 and len(self.waiting) == 1 and len(self.running) < self._slots:
            self._cut_span(now)

    def advance(self) -> tuple[list[Sequence], list[Sequence]]:
        """Ends the span in progress: those that now have their first token, and those that have ended."""
        now = self.next_at
        self.busy_s += self._all_s
        self.steps += self._span_steps
        self._context += self._decoding * self._span_steps
        first: list[Sequence] = []
        ended: list[Sequence] = []
        for sequence in self._ending.pop(self.steps, ()):
            if sequence.since >= 0 and sequence.since + sequence.output_tokens - sequence.emitted == self.steps:
                self._leave_decode(sequence)
                self._end(sequence, now, ended)
        for sequence, tokens in self._chunks:
            self._computed(sequence, tokens, now, first, ended)
        self._plan(now)
        return first, ended

    # A step's end

    def _computed(
        self, sequence: Sequence, tokens: int, now: float, first: list[Sequence], ended: list[Sequence]
    ) -> None:
        """A piece of its prefill is done; with the last one comes a token of its answer."""
        sequence.computed += tokens
        self._publish(sequence)
        if sequence.computed < sequence.target:
            return
        if self._partial is sequence:
            self._partial = None
        sequence.emitted += 1
        if sequence.emitted == 1:
            sequence.first_token_at = now
            first.append(sequence)
        if sequence.emitted == sequence.output_tokens:
            self._end(sequence, now, ended)
        else:
            self._enter_decode(sequence)

    def _enter_decode(self, sequence: Sequence) -> None:
        sequence.since = self.steps
        self._decoding += 1
        self._context += sequence.computed
        last = self.steps + sequence.output_tokens - sequence.emitted
        self._ending.setdefault(last, []).append(sequence)
        heappush(self._marks, last)
        self._mark_growth(sequence, self.steps + 1 + -sequence.computed % self._size)

    def _mark_growth(self, sequence: Sequence, step: int) -> None:
        sequence.grows_at = step
        if step <= sequence.since + sequence.output_tokens - sequence.emitted:
            self._growing.setdefault(step, []).append(sequence)
            heappush(self._marks, step)

    def _leave_decode(self, sequence: Sequence) -> None:
        """Writes down how far it is."""
        steps = self.steps - sequence.since
        sequence.computed += steps
        sequence.emitted += steps
        sequence.since = sequence.grows_at = -1
        self._decoding -= 1
        self._context -= sequence.computed

    def _end(self, sequence: Sequence, now: float, ended: list[Sequence]) -> None:
        self._publish(sequence)
        assert sequence.allocation is not None
        self.blocks.free(sequence.allocation)
        sequence.allocation = None
        sequence.ended_at = now
        del self.running[sequence]
        ended.append(sequence)

    def _publish(self, sequence: Sequence) -> None:
        allocation = sequence.allocation
        assert allocation is not None
        full, published = sequence.computed // self._size, len(allocation.keys)
        if full > published and sequence.keys:
            self.blocks.publish(allocation, sequence.keys[published:full])

    # A step's start

    def _plan(self, now: float) -> None:
        """Begins the next step, or span of steps, at `now`."""
        self._chunks = []
        self._may_admit = True
        self._grow_decoding()
        budget = self._budget - self._decoding
        work_s = 0.0
        if self._partial is not None and budget > 0:
            work_s += self._continue(self._partial, budget)
            budget -= sum(tokens for _, tokens in self._chunks)
        if self._may_admit and budget > 0:
            work_s += self._admit(budget, now)
        self._flat_s = self.speed.step_s + self._decoding * self.speed.sequence_s
        if not self._decoding and not self._chunks:
            assert not self.live, "idle with work to do"
            self.next_at, self._span_steps, self._all_s = math.inf, 0, 0.0
            return
        alone = bool(self._chunks) or self._partial is not None or not self._may_admit
        self._span_at, self._span_steps = now, 1 if alone else self._steps_until_something()
        self._all_s = work_s + self._seconds(self._span_steps)
        self.next_at = now + self._all_s

    def _grow_decoding(self) -> None:
        """A block for each that begins a new one in this step; what it filled can be reused from now on."""
        step = self.steps + 1
        due = [sequence for sequence in self._growing.pop(step, ()) if sequence.grows_at == step]
        for sequence in sorted(due, key=lambda sequence: sequence.order):
            if sequence.grows_at != step:
                continue  # it has just given way to an older one
            allocation = sequence.allocation
            assert allocation is not None
            computed = sequence.computed + self.steps - sequence.since
            published = len(allocation.keys)
            if sequence.keys and computed // self._size > published:
                self.blocks.publish(allocation, sequence.keys[published : computed // self._size])
            if self._make_room(sequence, computed + 1):
                self._mark_growth(sequence, step + self._size)

    def _make_room(self, sequence: Sequence, tokens: int) -> bool:
        """Blocks for so many tokens; False where it had to give way itself."""
        assert sequence.allocation is not None
        while not self.blocks.grow(sequence.allocation, tokens):
            youngest = next(reversed(self.running))
            self._preempt(youngest)
            if youngest is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        if sequence.since >= 0:
            self._leave_decode(sequence)
        if self._partial is sequence:
            self._partial = None
        self._publish(sequence)
        assert sequence.allocation is not None
        self.blocks.free(sequence.allocation)
        sequence.allocation, sequence.computed = None, 0
        sequence.preempted += 1
        self.preemptions += 1
        del self.running[sequence]
        self.waiting.appendleft(sequence)
        self._may_admit = False

    def _continue(self, sequence: Sequence, budget: int) -> float:
        """The next piece of a prefill; its seconds."""
        tokens = min(sequence.target - sequence.computed, budget)
        return self._chunk(sequence, tokens) if self._make_room(sequence, sequence.computed + tokens) else 0.0

    def _admit(self, budget: int, now: float) -> float:
        """Waiting sequences, while slots, blocks and budget allow; the seconds of their first pieces."""
        work_s = 0.0
        while self.waiting and budget and len(self.running) < self._slots:
            sequence = self.waiting[0]
            known = self.blocks.matched(sequence.keys[: (sequence.target - 1) // self._size]) * self._size
            tokens = min(sequence.target - known, budget)
            allocation = self.blocks.allocate(sequence.keys, known + tokens)
            if allocation is None:
                break
            self.waiting.popleft()
            self._admitted += 1
            sequence.order, sequence.allocation, sequence.computed = self._admitted, allocation, known
            self.running[sequence] = None
            if math.isnan(sequence.scheduled_at):
                sequence.scheduled_at, sequence.cached_tokens = now, known
            work_s += self._chunk(sequence, tokens) + self._encoding(sequence) * (1 - known / sequence.target)
            budget -= tokens
            if known + tokens < sequence.target:
                self._partial = sequence
        return work_s

    def _chunk(self, sequence: Sequence, tokens: int) -> float:
        self._chunks.append((sequence, tokens))
        pairs = tokens * (sequence.computed + tokens / 2)
        return tokens * self.speed.token_s + pairs * self.speed.pair_s

    def _encoding(self, sequence: Sequence) -> float:
        return sequence.image_tokens * self.speed.image_token_s + sequence.audio_s * self.speed.audio_s

    # Spans

    def _steps_until_something(self) -> int:
        """Steps up to the one at whose end a sequence ends, or before the one at whose start one needs a block."""
        marks, next_step = self._marks, self.steps + 1
        while marks[0] < next_step or (marks[0] == next_step and next_step not in self._ending):
            heappop(marks)
        step = marks[0]
        return step - next_step if step in self._growing else step - self.steps

    def _seconds(self, steps: int) -> float:
        """Of so many steps of what decodes now."""
        read = steps * self._context + self._decoding * (steps * (steps - 1) // 2)
        return steps * self._flat_s + read * self.speed.kv_token_s

    def _cut_span(self, now: float) -> None:
        """Ends it with the step in progress: somebody has come."""
        wanted = now - self._span_at
        low, high = 1, self._span_steps
        while low < high:
            middle = (low + high) // 2
            if self._seconds(middle) >= wanted:
                high = middle
            else:
                low = middle + 1
        if low < self._span_steps:
            self._span_steps, self._all_s = low, self._seconds(low)
            self.next_at = max(now, self._span_at + self._all_s)
