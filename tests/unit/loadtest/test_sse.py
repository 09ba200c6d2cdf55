from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.sse import MOST_EVENT_BYTES, Events, EventTooLong

STREAM = b'data: {"a":1}\n\ndata: {"b":"\xc3\xa4"}\r\n\r\n: a comment\n\ndata: [DONE]\n\n'


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    events, found = Events(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        found += events.feed(STREAM[start:end])
    assert found + events.end() == [b'{"a":1}', b'{"b":"\xc3\xa4"}']
    assert events.done


def test_a_stream_that_was_cut_is_not_done() -> None:
    events = Events()
    assert events.feed(b'data: {"a":1}\n\ndata: {"b"') == [b'{"a":1}']
    assert events.end() == [b'{"b"']
    assert not events.done


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    with pytest.raises(EventTooLong):
        Events().feed(b"data: " + b"x" * MOST_EVENT_BYTES)
