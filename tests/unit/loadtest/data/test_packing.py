from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.data.packing import pack

RATE, CLIP, GAP = 16_000, 480_000, 8_000
"""Of samples."""


@pytest.mark.parametrize(
    ("seconds", "clips"),
    [
        ([], []),
        ([12.0], [[0]]),
        ([10.0, 10.0, 9.0], [[0, 1, 2]]),  # 10 + 0.5 + 10 + 0.5 + 9: exactly 30
        ([10.0, 10.0, 9.01], [[0, 1], [2]]),
        ([29.6, 0.1, 0.1], [[0], [1, 2]]),  # the gap counts
        ([30.0, 1.0, 30.0], [[0], [1], [2]]),
        ([30.01], []),
        ([20.0, 35.0, 9.0], [[0, 2]]),  # one that is too long does not end a clip
        ([35.0, 5.0, 35.0], [[1]]),
    ],
)
def test_worked_examples(seconds: list[float], clips: list[list[int]]) -> None:
    assert pack(seconds) == clips


@given(st.lists(st.integers(1, CLIP * 11 // 10), max_size=30))
def test_every_utterance_once_in_order_and_no_clip_too_long(frames: list[int]) -> None:
    clips = pack([length / RATE for length in frames])
    assert [place for clip in clips for place in clip] == [place for place, n in enumerate(frames) if n <= CLIP]
    lengths = [sum(frames[place] for place in clip) + GAP * (len(clip) - 1) for clip in clips]
    assert all(length <= CLIP for length in lengths)
    for length, following in zip(lengths, clips[1:], strict=False):
        # As many as fit: at 30 s to the sample, where floating point decides, either is right.
        assert length + GAP + frames[following[0]] >= CLIP
