from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet import FakeEngine
from deployments.engine.fake import batch as batch_module
from deployments.engine.fake.batch import Batch, Sequence, TooManyWaiting
from deployments.engine.fake.kv_blocks import KvBlocks
from deployments.engine.fake.tokenizer import Control, encode
from deployments.engine.fake.virtual_model import Answer


def make_batch(slots: int = 4, kv_blocks: int = 64, caches: bool = True, **speed: float) -> Batch:
    settings = FakeEngine.model_validate({"block_size": 4, "kv_blocks": kv_blocks, **speed})
    return Batch(settings, slots, KvBlocks(kv_blocks, 4, caches=caches))


def run_to_the_end(batch: Batch, most_steps: int = 10_000) -> None:
    for _ in range(most_steps):
        if not batch.live:
            return
        batch.plan()
        batch.finish_step()
    raise AssertionError("the batch makes no progress")


def check(batch: Batch, slots: int, sequences: list[Sequence]) -> None:
    counters = batch.counters
    assert counters.accepted == counters.finished + counters.aborted + batch.live
    assert len(batch.running) <= slots
    assert counters.emitted_tokens == sum(sequence.new_tokens for sequence in sequences)
    batch.blocks.check(sequence.allocation for sequence in sequences if sequence.allocation)
    for sequence in sequences:
        held = sequence in batch.running
        assert held == (sequence.allocation is not None)
        assert (sequence.finish_reason is None) == (held or sequence in batch.waiting)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 20), st.integers(1, 12)),
        st.tuples(st.just("step"), st.just(0), st.just(0)),
        st.tuples(st.just("plan, abort, finish"), st.integers(0, 50), st.just(0)),
    ),
    max_size=60,
)


@given(ACTIONS, st.integers(1, 4), st.integers(8, 16), st.booleans())
def test_whatever_happens_sequences_and_blocks_are_conserved(
    actions: list[tuple[str, int, int]], slots: int, kv_blocks: int, caches: bool
) -> None:
    batch = make_batch(slots, kv_blocks, caches)
    sequences: list[Sequence] = []
    for action, first, second in actions:
        if action == "submit":
            sequences.append(Sequence([7] * first, second))
            batch.submit(sequences[-1])
        else:
            batch.plan()
            if sequences and action != "step":
                batch.abort(sequences[first % len(sequences)])
            batch.finish_step()
        check(batch, slots, sequences)
    run_to_the_end(batch)
    check(batch, slots, sequences)
    assert batch.blocks.in_use == 0
    for sequence in sequences:
        alone = Answer(sequence.prompt, 16)
        assert sequence.output == [alone.next_token() for _ in range(sequence.new_tokens)]
        assert sequence.finish_reason == "abort" or sequence.new_tokens == sequence.most_new_tokens


def test_first_come_first_served() -> None:
    batch = make_batch(slots=2)
    sequences = [Sequence(encode(f"prompt {n}"), 3) for n in range(6)]
    for sequence in sequences:
        batch.submit(sequence)
    ended: list[Sequence] = []
    while batch.live:
        batch.plan()
        batch.finish_step()
        ended += [sequence for sequence in sequences if sequence.finish_reason and sequence not in ended]
    assert ended == sequences
    assert batch.counters.steps == 9


def test_the_head_of_the_queue_is_not_overtaken_by_a_smaller_prompt() -> None:
    batch = make_batch(kv_blocks=8)
    first, large, small = Sequence([1] * 20, 4), Sequence([2] * 16, 4), Sequence([3], 1)
    for sequence in (first, large, small):
        batch.submit(sequence)
    batch.plan()
    batch.finish_step()
    assert batch.running == [first]
    assert list(batch.waiting) == [large, small]


def test_when_blocks_run_out_the_youngest_gives_way_and_still_ends_right() -> None:
    batch = make_batch(kv_blocks=8, caches=False)
    old, young = Sequence([1] * 12, 16), Sequence([2] * 12, 16)
    batch.submit(old)
    batch.submit(young)
    run_to_the_end(batch)
    assert batch.counters.preempted == 1
    assert (old.finish_reason, young.finish_reason) == ("length", "length")
    expected = Answer(young.prompt, 16)
    assert young.output == [expected.next_token() for _ in range(16)]


def test_a_step_costs_uncached_tokens_audio_and_the_size_of_the_batch() -> None:
    batch = make_batch(prefill_tokens_per_s=100, decode_step_s=0.5, decode_step_per_sequence_s=0.01)
    prompt = list(range(10))
    batch.submit(Sequence(prompt, 2))
    assert batch.plan() == pytest.approx(10 / 100 + 0.5 + 0.01)
    batch.finish_step()
    again = Sequence(prompt, 1, encode_s=3)
    batch.submit(again)
    assert batch.plan() == pytest.approx(3 + 2 / 100 + 0.5 + 0.02)
    batch.finish_step()
    assert again.cached_tokens == 8
    assert not batch.live


def test_an_answer_that_comes_back_as_a_turn_meets_its_own_blocks() -> None:
    batch = make_batch()
    first = Sequence([Control.USER, *encode("hello there"), Control.END, Control.ASSISTANT], 9)
    batch.submit(first)
    run_to_the_end(batch)
    second = Sequence([*first.token_ids, Control.END, Control.USER, *encode("more"), Control.ASSISTANT], 1)
    batch.submit(second)
    run_to_the_end(batch)
    # The last token was emitted and never computed: the block that it fills is not there.
    assert second.cached_tokens == (len(first.token_ids) - 1) // 4 * 4 > first.prompt_length


def test_other_pictures_and_other_tenants_share_no_block() -> None:
    batch = make_batch()
    for extra_keys, cached in (({}, 0), ({0: "salt"}, 0), ({1: "picture"}, 4), ({}, 8)):
        sequence = Sequence(list(range(12)), 1, extra_keys)
        batch.submit(sequence)
        run_to_the_end(batch)
        assert sequence.cached_tokens == cached


def test_a_turn_ends_by_itself_unless_that_is_ignored() -> None:
    batch = make_batch(tokens_per_answer=3)
    ends = Sequence([Control.ASSISTANT], 8)
    goes_on = Sequence([Control.ASSISTANT], 8, ignores_stop=True)
    for sequence in (ends, goes_on):
        batch.submit(sequence)
    run_to_the_end(batch)
    assert (ends.new_tokens, ends.finish_reason) == (3, "stop")
    assert (goes_on.new_tokens, goes_on.finish_reason) == (8, "length")


def test_only_a_stream_is_woken_at_each_token() -> None:
    batch = make_batch()
    quiet, stream = Sequence([1], 2), Sequence([1], 2, streams=True)
    for sequence in (quiet, stream):
        batch.submit(sequence)
    batch.plan()
    batch.finish_step()
    assert (quiet.changed.is_set(), stream.changed.is_set()) == (False, True)
    batch.plan()
    batch.finish_step()
    assert quiet.changed.is_set()


def test_aborting_what_has_ended_changes_nothing() -> None:
    batch = make_batch()
    sequence = Sequence([1], 1)
    batch.submit(sequence)
    run_to_the_end(batch)
    batch.abort(sequence)
    assert (batch.counters.finished, batch.counters.aborted, sequence.finish_reason) == (1, 0, "length")


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "MOST_WAITING", 2)
    batch = make_batch()
    for _ in range(2):
        batch.submit(Sequence([1], 1))
    with pytest.raises(TooManyWaiting, match="try again later"):
        batch.submit(Sequence([1], 1))
    assert batch.counters.accepted == batch.live == 2
