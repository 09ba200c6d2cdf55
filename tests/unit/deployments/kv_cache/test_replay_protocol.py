from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kv_cache import replay_protocol as module
from deployments.kv_cache.replay_protocol import (
    ANSWER_TIMEOUT_S,
    PAUSE_TIMEOUT_S,
    PROBE_S,
    TRIES,
    Apply,
    Clear,
    Feed,
    FeedState,
    Replay,
    Step,
)

EXACT, CATCHING_UP, DEGRADED = FeedState.EXACT, FeedState.CATCHING_UP, FeedState.DEGRADED


@dataclass
class Engine:
    """Numbers its batches and keeps the last `kept` of them; `forgotten` ones it never had."""

    name: str = "a"
    kept: int = 10_000
    sent: list[bytes] = field(default_factory=list)
    forgotten: set[int] = field(default_factory=set)

    def publish(self, forget: bool = False) -> tuple[int, bytes]:
        number = len(self.sent)
        self.sent.append(f"{self.name}{number}".encode())
        if forget:
            self.forgotten.add(number)
        return number, self.sent[number]

    def replay(self, first: int) -> list[tuple[int, bytes]]:
        kept = [number for number in range(len(self.sent)) if number not in self.forgotten][-self.kept :]
        return [(number, self.sent[number]) for number in kept if number >= first]


class Follower:
    """Takes a feed's steps as a subscriber does; `answer` and `settle` let the engine answer."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.feed, self.now = engine, Feed(), 0.0
        self.applied: list[bytes] = []
        self.clears = 0
        self.question: int | None = None
        self.take(self.feed.start(0.0))

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Apply(_, batch):
                    self.applied.append(batch)
                case Clear():
                    self.applied.clear()
                    self.clears += 1
                case Replay(first):
                    self.question = first

    def live(self, *batches: tuple[int, bytes]) -> None:
        for sequence, batch in batches:
            self.take(self.feed.live(sequence, batch, self.now))

    def answer(self, first_lost: int | None = None) -> None:
        """The engine's whole answer to the last question, or one of which the end got lost in a full socket."""
        assert self.question is not None
        asked, self.question = self.question, None
        for index, (sequence, batch) in enumerate(self.engine.replay(asked)):
            if first_lost is None or index < first_lost:
                self.take(self.feed.replayed(sequence, batch, self.now))
                if self.question is not None:
                    return
        self.take(self.feed.replay_ended(self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.feed.tick(self.now))

    def settle(self) -> None:
        """Time and answers until nothing more is asked."""
        self.wait(PROBE_S)
        for _ in range(100):
            if self.question is None:
                return
            self.answer()
        raise AssertionError("asks for ever")


def followed(engine: Engine) -> Follower:
    """A follower that knows everything so far."""
    made = Follower(engine)
    made.answer()
    assert made.feed.state is EXACT
    return made


def test_a_new_engine_has_nothing_to_tell() -> None:
    follower = Follower(Engine())
    assert (follower.question, follower.feed.state) == (0, CATCHING_UP)
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == ([], 0, EXACT)


def test_what_came_before_the_subscription_is_asked_for_and_live_batches_wait_for_it() -> None:
    engine = Engine()
    early = [engine.publish() for _ in range(5)]
    follower = Follower(engine)
    follower.live(engine.publish())
    assert follower.applied == []
    follower.answer()
    follower.live(engine.publish(), early[4], early[0])
    assert follower.applied == engine.sent
    assert follower.feed.state is EXACT


def test_an_engine_that_no_longer_keeps_its_first_batches_is_never_exact() -> None:
    engine = Engine(kept=3)
    for _ in range(5):
        engine.publish()
    follower = Follower(engine)
    follower.answer()
    assert (follower.applied, follower.feed.state) == (engine.sent[2:], DEGRADED)
    follower.live(engine.publish())
    follower.settle()
    assert (follower.applied, follower.feed.state) == (engine.sent[2:], DEGRADED)


def test_a_gap_is_filled_in_order() -> None:
    follower = followed(engine := Engine())
    follower.live(engine.publish())
    engine.publish()
    follower.live(engine.publish())
    assert (follower.question, follower.feed.state, len(follower.applied)) == (0, CATCHING_UP, 1)
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent, 0, EXACT)


def test_a_lost_last_batch_leaves_no_gap_and_is_found_by_asking() -> None:
    follower = followed(engine := Engine())
    engine.publish()
    assert follower.feed.state is EXACT
    follower.wait(PROBE_S)
    assert (follower.question, follower.feed.state) == (0, EXACT)
    follower.answer()
    assert (follower.applied, follower.feed.state) == (engine.sent, EXACT)


def test_a_lively_feed_is_not_asked() -> None:
    follower = followed(engine := Engine())
    for _ in range(10):
        follower.live(engine.publish())
        follower.wait(PROBE_S / 2)
    assert follower.question is None


def test_what_is_lost_for_good_clears_and_degrades_until_everything_is_forgotten() -> None:
    follower = followed(engine := Engine())
    follower.live(engine.publish())
    engine.publish(forget=True)
    follower.live(engine.publish())
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent[2:], 1, DEGRADED)
    follower.live(engine.publish())
    follower.settle()
    assert follower.feed.state is DEGRADED
    follower.feed.cleared()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent[2:], 1, EXACT)


def test_a_batch_that_cannot_be_read_degrades() -> None:
    follower = followed(Engine())
    assert follower.feed.unreadable() == [Clear()]
    assert follower.feed.state is DEGRADED


def test_an_answer_with_gaps_is_asked_for_again_from_the_first_one() -> None:
    engine = Engine()
    for _ in range(50):
        engine.publish()
    follower = Follower(engine)
    follower.live(engine.publish())
    for round in range(2 * TRIES):
        follower.answer(first_lost=3)
        assert len(follower.applied) == 3 + 2 * round
        assert follower.feed.state is CATCHING_UP
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent, 0, EXACT)


def test_an_engine_that_does_not_answer_is_given_up_after_some_tries() -> None:
    follower = followed(engine := Engine())
    follower.live(engine.publish())
    follower.wait(PROBE_S)
    for _ in range(TRIES - 1):
        assert follower.clears == 0
        follower.wait(ANSWER_TIMEOUT_S)
        assert follower.feed.state is CATCHING_UP
    follower.wait(ANSWER_TIMEOUT_S)
    assert (follower.applied, follower.clears, follower.feed.state) == ([], 1, DEGRADED)
    follower.question = None
    follower.wait(60)
    assert follower.question is None, "it is not asked again without a reason"
    engine.publish()
    follower.live(engine.publish(), engine.publish())
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent[2:], 1, DEGRADED)


def test_an_answer_whose_end_gets_lost_is_asked_for_again_soon() -> None:
    engine = Engine()
    engine.publish()
    follower = Follower(engine)
    follower.question = None
    follower.take(follower.feed.replayed(0, engine.sent[0], follower.now))
    follower.wait(PAUSE_TIMEOUT_S)
    assert (follower.question, follower.feed.state) == (0, CATCHING_UP)
    follower.answer()
    assert (follower.applied, follower.feed.state) == (engine.sent, EXACT)


def test_a_gap_behind_a_gap_that_was_given_up_is_asked_for_too() -> None:
    follower = followed(engine := Engine())
    batches = [engine.publish() for _ in range(5)]
    follower.live(batches[2], batches[4])
    for _ in range(TRIES):
        follower.wait(ANSWER_TIMEOUT_S)
    assert (follower.applied, follower.question, follower.feed.state) == ([engine.sent[2]], 2, CATCHING_UP)
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent[2:], 1, DEGRADED)


def test_whoever_publishes_after_giving_up_is_believed_from_then_on() -> None:
    follower = followed(old := Engine("old"))
    for _ in range(4):
        follower.live(old.publish())
    for _ in range(TRIES + 1):
        follower.wait(ANSWER_TIMEOUT_S)
    assert (follower.applied, follower.feed.state) == ([], DEGRADED)
    new = Engine("new")
    follower.live(new.publish(), new.publish())
    assert (follower.applied, follower.clears, follower.feed.state) == (new.sent, 1, DEGRADED)


def test_a_slow_answer_is_not_given_up_while_it_goes_on() -> None:
    engine = Engine()
    for _ in range(3 * TRIES):
        engine.publish()
    follower = Follower(engine)
    for sequence, batch in engine.replay(0):
        follower.question = None
        follower.wait(PAUSE_TIMEOUT_S * 0.9)
        follower.take(follower.feed.replayed(sequence, batch, follower.now))
        assert follower.question is None
    assert follower.applied == engine.sent


@pytest.mark.parametrize("published", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("disconnects", [True, False])
def test_another_engine_at_the_same_address_starts_anew(published: int, disconnects: bool) -> None:
    follower = followed(old := Engine("old"))
    for _ in range(4):
        follower.live(old.publish())
    follower.engine = new = Engine("new")
    if disconnects:
        follower.take(follower.feed.disconnected(follower.now))
        assert follower.feed.state is CATCHING_UP
    batches = [new.publish() for _ in range(published)]
    if disconnects or published != 5:  # unnoticed, the fifth of the new one would go for the old one's next
        follower.live(batches[-1])
    follower.settle()
    follower.settle()
    assert (follower.applied, follower.clears, follower.feed.state) == (new.sent, 1, EXACT)


def test_a_new_engine_that_is_silent_is_found_by_asking() -> None:
    follower = followed(old := Engine("old"))
    follower.live(old.publish())
    follower.engine = Engine("new")
    follower.settle()
    assert (follower.applied, follower.clears, follower.feed.state) == ([], 1, EXACT)


def test_a_lost_connection_to_the_same_engine_loses_nothing() -> None:
    follower = followed(engine := Engine())
    follower.live(engine.publish())
    follower.take(follower.feed.disconnected(follower.now))
    engine.publish()
    follower.live(engine.publish())
    assert len(follower.applied) == 1
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent, 0, EXACT)


def test_an_engine_that_cannot_prove_that_it_is_the_same_is_not_believed_to_be() -> None:
    follower = followed(engine := Engine(kept=1))
    for _ in range(3):
        follower.live(engine.publish())
    follower.take(follower.feed.disconnected(follower.now))
    engine.publish()
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent[3:], 1, DEGRADED)


def test_live_batches_that_find_no_room_are_replayed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BATCHES", 3)
    follower = followed(engine := Engine())
    engine.publish()
    early = engine.replay(0)
    for _ in range(8):
        follower.live(engine.publish())
    assert follower.question == 0
    for sequence, batch in early:  # the answer was given before the later ones were published
        follower.take(follower.feed.replayed(sequence, batch, follower.now))
    follower.take(follower.feed.replay_ended(follower.now))
    assert (len(follower.applied), follower.feed.state) == (4, CATCHING_UP)
    follower.answer()
    assert (follower.applied, follower.clears, follower.feed.state) == (engine.sent, 0, EXACT)


def test_answers_that_nobody_asked_for_are_ignored() -> None:
    follower = followed(engine := Engine())
    assert follower.feed.replayed(7, b"?", 0.0) == []
    assert follower.feed.replay_ended(0.0) == []
    follower.live(engine.publish())
    assert (follower.applied, follower.feed.state) == (engine.sent, EXACT)


FATES = st.lists(
    st.tuples(
        st.sampled_from(["arrives", "arrives", "dropped", "forgotten", "twice", "late", "restart", "disconnect"]),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(FATES, st.integers(2, 30), st.integers(1, 8))
def test_whatever_is_lost_either_all_is_applied_in_order_or_the_feed_is_degraded(
    fates: list[tuple[str, int]], kept: int, answered: int
) -> None:
    """`kept`: the engine's replay buffer. `answered`: how much of an answer fits into the socket."""
    engine = Engine("0", kept)
    follower = Follower(engine)
    late: list[tuple[int, bytes]] = []
    for step, (fate, pause) in enumerate(fates):
        if fate == "restart":
            follower.engine = engine = Engine(str(step), kept)
            follower.take(follower.feed.disconnected(follower.now))
            late.clear()
        elif fate == "disconnect":
            follower.take(follower.feed.disconnected(follower.now))
        batch = engine.publish(forget=fate == "forgotten")
        if fate == "late":
            late.append(batch)
        elif fate in ("arrives", "twice"):
            follower.live(*[batch] * (2 if fate == "twice" else 1))
        if pause == 1 and late:
            follower.live(late.pop())
        elif pause == 2:
            follower.wait(PROBE_S)
        elif pause == 3 and follower.question is not None:
            follower.answer(first_lost=answered + 2)
        told = follower.applied
        assert len(set(told)) == len(told), "a batch twice"
        numbers = [engine.sent.index(batch) for batch in told if batch in engine.sent]
        assert numbers == sorted(numbers), "not in order"
        if follower.feed.state is EXACT:
            assert told == engine.sent[: len(told)], "batches are missing and nobody says so"
        if follower.feed.state is DEGRADED and numbers:
            assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a gap in what is believed"
    follower.settle()
    follower.settle()
    follower.live(engine.publish())
    follower.settle()
    assert follower.feed.state is not CATCHING_UP
    assert follower.applied == engine.sent[len(engine.sent) - len(follower.applied) :]
    assert (follower.feed.state is EXACT) <= (follower.applied == engine.sent)
