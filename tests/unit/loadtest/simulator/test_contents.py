from __future__ import annotations

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from loadtest.simulator.contents import BLOCK_TOKENS_UNSAID, Contents, block_tokens_of
from loadtest.traces.trace import ImageRef, TraceRequest


def common(one: list[int], other: list[int]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def request(blocks: tuple[int, ...], tokens: int, answer: int = 1, block_tokens: int = 16) -> TraceRequest:
    return TraceRequest(0.0, tokens, answer, blocks=blocks, block_tokens=block_tokens)


@given(st.lists(st.lists(st.integers(0, 3), max_size=6).map(tuple), min_size=2, max_size=6))
def test_requests_share_the_blocks_that_the_trace_says_and_no_others(blocks: list[tuple[int, ...]]) -> None:
    requests = [request(ids, 16 * len(ids) + 40) for ids in blocks]
    keys = Contents(16).keys(requests)
    for one, its in zip(blocks, keys, strict=True):
        assert len(its) == (16 * len(one) + 41) // 16
        assert len(set(its)) == len(its)
        for other, others in zip(blocks, keys, strict=True):
            if its is not others:
                assert common(its, others) == common(list(one), list(other))


def test_what_follows_a_different_beginning_is_different() -> None:
    one, other = Contents(16).keys([request((1, 2, 3), 48), request((9, 2, 3), 48)])
    assert not set(one) & set(other)


def test_a_smaller_block_finds_what_larger_ones_have_in_common() -> None:
    one, other = Contents(16).keys([request((1, 2), 128, block_tokens=64), request((1, 3), 128, block_tokens=64)])
    assert common(one, other) == 4


def test_a_conversation_goes_on_from_its_answer() -> None:
    first = TraceRequest(0.0, 32, 32, blocks=(1, 2), block_tokens=16, session="a")
    second = TraceRequest(1.0, 80, 16, blocks=(1, 2, 3, 4, 5), block_tokens=16, session="a")
    one, other = Contents(16).keys([first, second])
    assert common(one, other) == 4, "prompt and answer"
    elsewhere = Contents(16).keys([first, TraceRequest(1.0, 80, 16, blocks=(1, 2, 3, 4, 5), block_tokens=16)])
    assert common(*elsewhere) == 2, "without a session nobody knows that it was its answer"


def test_images_are_told_apart_under_the_same_text() -> None:
    def asked(identity: int) -> TraceRequest:
        return TraceRequest(0.0, 64, 1, blocks=(1,), block_tokens=16, images=(ImageRef(identity, 48),))

    red, blue, red_again = Contents(16).keys([asked(1), asked(2), asked(1)])
    assert common(red, blue) == 1
    assert red[:4] == red_again[:4]


def test_the_smallest_block_that_requests_name_counts() -> None:
    assert block_tokens_of([request((1,), 32, block_tokens=32), request((1,), 32)]) == 16
    assert block_tokens_of([TraceRequest(0.0, 10, 1)]) == BLOCK_TOKENS_UNSAID
