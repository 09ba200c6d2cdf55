from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.traces.trace import ImageRef, Lengths, Trace, TraceError, TraceRequest, merged


def request(at_s: float = 0.0, tokens: int = 100, blocks: tuple[int, ...] = (), **more: Any) -> TraceRequest:
    return TraceRequest(at_s, tokens, 5, blocks, block_tokens=16, **more)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"at_s": -1.0}, "a time is 0 or more"),
        ({"at_s": float("nan")}, "a time is 0 or more"),
        ({"input_tokens": 0}, "a prompt has 1 or more"),
        ({"output_tokens": 0}, "an answer has 1 or more"),
        ({"blocks": (1, 2)}, "more than it has"),
        ({"block_tokens": 0}, "a block has 1 or more"),
        ({"images": (ImageRef(1, 101),)}, "101 tokens of images in 100"),
        ({"audio_s": -1.0}, "a length is 0 or more"),
    ],
)
def test_a_request_that_cannot_be(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(TraceError, match=why):
        TraceRequest(**{"at_s": 0.0, "input_tokens": 100, "output_tokens": 5, **wrong})


def test_audio_needs_no_text() -> None:
    assert TraceRequest(0.0, 0, 5, audio_s=3.0).text_tokens == 0


def test_what_a_prompt_is_made_of() -> None:
    one = request(tokens=100, blocks=(1, 2), images=(ImageRef(7, 60),))
    assert (one.image_tokens, one.text_tokens, one.block_prefix_tokens) == (60, 40, 32)
    assert request(tokens=20, blocks=(1, 2)).block_prefix_tokens == 20, "the last block is there in part"


def test_a_trace_is_in_order_and_not_empty() -> None:
    with pytest.raises(TraceError, match="holds no requests"):
        Trace("t", ())
    with pytest.raises(TraceError, match=r"at 1.0 s follows one at 2.0 s"):
        Trace("t", (request(2.0), request(1.0)))


def test_windows_and_speeds() -> None:
    trace = Trace("t", tuple(request(at) for at in (1.0, 2.0, 4.0, 5.0)))
    assert [r.at_s for r in trace.window(1, 2).requests] == [0.0, 2.0]
    assert [r.at_s for r in trace.scaled(2).requests] == [0.5, 1.0, 2.0, 2.5]
    assert (trace.seconds, trace.requests_per_s, trace.input_tokens_per_s) == (4.0, 0.75, 75.0)
    assert trace.at_rate(3).requests_per_s == pytest.approx(3)
    with pytest.raises(TraceError, match="no 2 requests from number 3 on; it has 4"):
        trace.window(3, 2)
    with pytest.raises(TraceError, match="give a positive number"):
        trace.scaled(0)
    with pytest.raises(TraceError, match="all its requests arrive at once"):
        Trace("t", (request(), request())).at_rate(1)


def test_statistics_of_an_infinite_cache() -> None:
    image = ImageRef(7, 20)
    trace = Trace(
        "t",
        (
            request(0.0, 100, (1, 2), images=(image,)),
            request(1.0, 100, (1, 2), images=(image, ImageRef(8, 20))),  # 32 + 20 tokens
            request(2.0, 100, (1, 3), images=(image,)),  # 16: the image follows another text
            request(3.0, 100, (2,)),  # none: the block is known, but not at the start
            request(4.0, 100, (1,), model="other"),
        ),
    )
    assert trace.statistics.token_hit_rate == pytest.approx((52 + 16) / 500)
    assert (trace.statistics.images, trace.statistics.input_tokens) == (4, Lengths(100.0, 100.0, 100.0, 100.0))


def test_a_block_in_part_hits_in_part() -> None:
    trace = Trace("t", (request(0.0, 20, (1, 2)), request(0.0, 20, (1, 2))))
    assert trace.statistics.token_hit_rate == 0.5


def test_merging_keeps_apart_what_two_traces_name_alike() -> None:
    ones = Trace("a", (request(0.0, 32, (1, 2), session="s"), request(2.0, 32, (1, 3))))
    both = merged("m", [ones, ones])
    assert [r.at_s for r in both.requests] == [0.0, 0.0, 2.0, 2.0]
    first, second, third, _ = both.requests
    assert first.blocks[0] == third.blocks[0]
    assert not set(first.blocks) & set(second.blocks)
    assert (first.session, second.session) == ("0/s", "1/s")
    assert both.statistics.token_hit_rate == ones.statistics.token_hit_rate == 0.25


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=20), st.floats(0.1, 50), st.data())
def test_any_window_at_any_speed_is_a_trace(times: list[float], speed: float, data: st.DataObject) -> None:
    trace = Trace("t", tuple(request(at) for at in sorted(times)))
    start = data.draw(st.integers(0, len(times) - 1))
    window = trace.window(start, data.draw(st.integers(1, len(times) - start))).scaled(speed)
    assert window.requests[0].at_s == 0
    assert window.seconds <= trace.seconds / speed + 1e-6
