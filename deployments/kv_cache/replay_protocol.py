"""The state of one replica's feed of KV-event batches: what to believe, what to ask for again, when to give up.

An engine numbers its batches from 0 and keeps the last ones for replays. Pure: it is told what arrives and what time
it is (seconds of any monotonic clock), and answers with steps, to be taken in order before it is told anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HELD_BATCHES = 1_000
"""Live batches kept back while earlier ones are missing. Those beyond are let go: the engine can replay them."""

REMEMBERED_BATCHES = 1_024
"""How far back a batch that comes twice is told from another engine's batch of the same number."""

ANSWER_TIMEOUT_S = 2.0
"""Until a replay begins. Long, because a busy engine's publisher waits for its turn."""

PAUSE_TIMEOUT_S = 0.5
"""Between two batches of a replay, which an engine sends in one go: after that, its end got lost in a full socket."""

TRIES = 5
"""Replays asked for in a row without any progress."""

PROBE_S = 0.5
"""A feed that has been quiet for so long is asked whether anything was missed: a lost last batch leaves no gap."""


class FeedState(StrEnum):
    """How far the blocks that a feed told of are those that the engine holds."""

    EXACT = "exact"
    CATCHING_UP = "catching up"
    """Batches may be missing: some of the blocks told of may be gone."""
    DEGRADED = "degraded"
    """Every block told of is there, but earlier ones are unknown: batches were lost for good."""


@dataclass(frozen=True, slots=True)
class Apply:
    """The next batch in order."""

    sequence: int
    batch: bytes


@dataclass(frozen=True, slots=True)
class Clear:
    """Nothing that was told of this replica's blocks holds any more."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Ask for all batches from `first` on. An answer still under way to an earlier question is to be dropped."""

    first: int


Step = Apply | Clear | Replay


class Feed:
    """One engine's batches, put in order. Begin with `start`."""

    def __init__(self) -> None:
        self._next: int | None = 0
        self._held: dict[int, bytes] = {}
        self._highest = -1
        self._seen: dict[int, int] = {}
        self._incomplete = False
        self._catching_up = True
        self._same_engine = True
        self._deadline: float | None = None
        self._asked_at = 0
        self._answers = 0
        self._tries = 0
        self._answers_replays = False
        self._heard = 0.0

    @property
    def state(self) -> FeedState:
        if self._catching_up or self._behind:
            return FeedState.CATCHING_UP
        return FeedState.DEGRADED if self._incomplete else FeedState.EXACT

    @property
    def _behind(self) -> bool:
        """Whether a batch is known of that was not applied yet."""
        return self._next is not None and self._highest >= self._next

    def start(self, now: float) -> list[Step]:
        """The subscription stands: what came before it is asked for."""
        return self._ask(now)

    def live(self, sequence: int, batch: bytes, now: float) -> list[Step]:
        """A batch came as it was published."""
        self._heard = now
        if self._next is None:
            self._next = sequence
        if sequence >= self._next:
            return self._take(sequence, batch) + self._mind_the_gap(now)
        if self._seen.get(sequence) == hash(batch):
            return []
        steps = self._begin_anew(now)
        return steps + self._take(sequence, batch)

    def replayed(self, sequence: int, batch: bytes, now: float) -> list[Step]:
        """A batch came in answer to the last `Replay`."""
        if self._deadline is None or self._next is None:
            return []
        self._heard, self._deadline = now, now + PAUSE_TIMEOUT_S
        self._answers += 1
        if sequence < self._next:
            if self._seen.get(sequence, hash(batch)) != hash(batch):
                return self._begin_anew(now)
            self._same_engine = True
            return self._in_order()
        # The first answer may be the last batch that is known already; a gap right there is one of the engine's own
        # record. A later one can come of a full socket, which drops: that is worth another question.
        if (sequence > self._next and self._answers <= 2) or not self._same_engine:
            return self._skip_to(min(sequence, *self._held) if self._held else sequence) + self._take(sequence, batch)
        return self._take(sequence, batch)

    def replay_ended(self, now: float) -> list[Step]:
        """The answer to the last `Replay` is complete."""
        if self._deadline is None or self._next is None:
            return []
        self._heard, self._deadline, self._answers_replays = now, None, True
        if self._next > 0 and not self._answers:
            return self._begin_anew(now)  # The engine does not know of a batch that it has published: it is another.
        if self._behind:
            return self._ask_again(now)
        self._catching_up, self._same_engine, self._tries = False, True, 0
        return []

    def disconnected(self, now: float) -> list[Step]:
        """The publisher was lost. Whoever is found at its address next has to prove that it is the same engine."""
        if self._next is None:
            return []
        self._catching_up, self._same_engine, self._tries = True, self._next == 0, 0
        self._held.clear()
        self._highest = -1
        return self._ask(now)

    def tick(self, now: float) -> list[Step]:
        """To be called at least every half second."""
        if self._deadline is not None:
            return self._ask_again(now) if now >= self._deadline else []
        if self._answers_replays and self._next is not None and now - self._heard >= PROBE_S:
            return self._ask(now)
        return []

    def cleared(self) -> None:
        """The batch just applied said that the engine forgot everything: what was lost before no longer matters."""
        self._incomplete = False

    def unreadable(self) -> list[Step]:
        """The batch just applied could not be read: what it changed is lost."""
        self._incomplete = True
        return [Clear()]

    def _take(self, sequence: int, batch: bytes) -> list[Step]:
        """Keeps a batch where there is room, and lets go on what is now in order."""
        self._highest = max(self._highest, sequence)
        if sequence == self._next or len(self._held) < HELD_BATCHES:
            self._held[sequence] = batch
        return self._in_order()

    def _in_order(self) -> list[Step]:
        steps: list[Step] = []
        while self._same_engine and self._next is not None and (batch := self._held.pop(self._next, None)) is not None:
            steps.append(Apply(self._next, batch))
            self._seen[self._next] = hash(batch)
            self._seen.pop(self._next - REMEMBERED_BATCHES, None)
            self._next += 1
        return steps

    def _mind_the_gap(self, now: float) -> list[Step]:
        if not self._behind:
            return []
        self._catching_up = True
        return [] if self._deadline is not None else self._ask(now)

    def _ask(self, now: float) -> list[Step]:
        """Asks from the last known batch on: if it differs from what is known, this is another engine."""
        assert self._next is not None
        self._deadline, self._answers, self._asked_at = now + ANSWER_TIMEOUT_S, 0, self._next
        return [Replay(max(0, self._next - 1))]

    def _ask_again(self, now: float) -> list[Step]:
        """After an answer that did not come or left gaps; gives up where that happens time after time."""
        assert self._next is not None
        self._catching_up = True
        self._tries = 1 if self._next > self._asked_at else self._tries + 1
        if self._tries < TRIES:
            return self._ask(now)
        self._answers_replays, self._deadline = False, None
        return self._skip_to(min(self._held, default=None)) + self._mind_the_gap(now)

    def _skip_to(self, sequence: int | None) -> list[Step]:
        """Gives up all batches before `sequence`; None: before whichever comes next."""
        self._next, self._incomplete, self._same_engine, self._tries = sequence, True, True, 0
        self._seen.clear()
        self._highest = max(self._held, default=-1)
        self._catching_up = self._deadline is not None
        return [Clear(), *self._in_order()]

    def _begin_anew(self, now: float) -> list[Step]:
        """Another engine publishes at this address."""
        self._next, self._incomplete, self._same_engine, self._tries = 0, False, True, 0
        self._held.clear()
        self._seen.clear()
        self._highest = -1
        self._catching_up = True
        return [Clear(), *self._ask(now)]
