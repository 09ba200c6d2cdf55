from __future__ import annotations

import base64
import io

import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from loadtest.replay.contents import SAMPLE, WORDS, Contents, Vocabulary
from loadtest.traces.trace import ImageRef, TraceRequest

LETTERS = Vocabulary(tuple(range(64, 128)), tokens_per_character=0.5)
CONTENTS = Contents(seed=0)


def request(tokens: int = 100, blocks: tuple[int, ...] = (), images: tuple[ImageRef, ...] = ()) -> TraceRequest:
    return TraceRequest(0.0, tokens, 5, blocks, block_tokens=16, images=images)


def test_ids_are_as_many_as_the_trace_says() -> None:
    ids = CONTENTS.token_ids(request(100, (1, 2)), 0, LETTERS)
    assert len(ids) == 100
    assert set(ids) <= set(LETTERS.token_ids)
    assert len(CONTENTS.token_ids(request(20, (1, 2)), 0, LETTERS)) == 20, "the last block may be there in part"


@given(
    st.lists(st.integers(0, 5), max_size=6).map(tuple),
    st.lists(st.integers(0, 5), max_size=6).map(tuple),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_prompts_are_equal_as_far_as_their_blocks(
    first: tuple[int, ...], second: tuple[int, ...], one: int, other: int
) -> None:
    a = CONTENTS.token_ids(request(100, first), one, LETTERS)
    b = CONTENTS.token_ids(request(100, second), other, LETTERS)
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    assert a[: 16 * same] == b[: 16 * same]
    if same < min(len(first), len(second)):
        assert a[16 * same : 16 * same + 16] != b[16 * same : 16 * same + 16]
    assert (a == b) == (first == second and one == other)


def test_text_is_shared_as_ids_are_and_about_as_long() -> None:
    shared, own = CONTENTS.text(request(1000, tuple(range(50))), 1, LETTERS)
    same, other = CONTENTS.text(request(1000, tuple(range(50))), 2, LETTERS)
    assert shared == same
    assert own != other
    assert len(shared) == 50 * 16 / 0.5
    assert len(shared) + len(own) == 1000 / 0.5
    assert CONTENTS.text(request(1000), 1, LETTERS)[0] == ""


@given(st.integers(1, 40), st.floats(0.1, 1.5))
def test_short_blocks_add_no_errors(block: int, tokens_per_character: float) -> None:
    blocks = tuple(range(100))
    one = TraceRequest(0.0, 100 * block + 50, 5, blocks, block)
    text = "".join(CONTENTS.text(one, 0, Vocabulary((), tokens_per_character)))
    assert abs(len(text) * tokens_per_character - one.input_tokens) <= tokens_per_character
    assert set(text) <= set(SAMPLE)


def test_another_seed_gives_other_prompts() -> None:
    one = request(100, (1,), (ImageRef(1, 4, 64, 64),))
    ours, other = CONTENTS, Contents(seed=1)
    assert ours.token_ids(one, 0, LETTERS)[:16] != other.token_ids(one, 0, LETTERS)[:16]
    assert ours.text(one, 0, LETTERS) != other.text(one, 0, LETTERS)
    assert ours.picture(one.images[0]) != other.picture(one.images[0])
    assert ours.clip(1, 0) != other.clip(1, 0)


def test_a_vocabulary_is_what_a_tokenizer_says() -> None:
    assert tuple(SAMPLE.split()) == WORDS
    assert len(set(WORDS)) == len(WORDS) > 60
    made = Vocabulary.of([3, 1, 3] * len(WORDS))
    assert (made.token_ids, made.tokens_per_character) == ((1, 3), 3 * len(WORDS) / len(SAMPLE))


def png(address: str) -> Image.Image:
    assert address.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_pictures_have_their_size_and_identity() -> None:
    seen = {CONTENTS.picture(ImageRef(number, 4, 80, 64)) for number in range(20)}
    assert len(seen) == 20
    assert CONTENTS.picture(ImageRef(3, 4, 80, 64)) in seen
    assert png(CONTENTS.picture(ImageRef(1, 4, 80, 64))).size == (80, 64)
    assert png(CONTENTS.picture(ImageRef(1, 9))).size == (96, 96), "a side is 32 pixels a token where no size is named"


def test_clips_have_their_length_and_differ() -> None:
    clips = [CONTENTS.clip(seconds, 0) for seconds in (0.5, 30.0, 60.0)]
    lengths = [soundfile.info(io.BytesIO(clip)).duration for clip in clips]
    assert lengths == [0.5, 30.0, 60.0]
    assert CONTENTS.clip(0.5, 0) == clips[0] != CONTENTS.clip(0.5, 1)
