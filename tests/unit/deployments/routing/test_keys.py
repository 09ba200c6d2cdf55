from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.kv_cache.events import MediaMark
from deployments.routing.keys import KEY_BITS, KEY_TOKENS, PrefixEnd, PrefixKeys
from deployments.routing.prompt import Media, Prompt

TOKENS = st.lists(st.integers(0, 250_000), max_size=400)
KEYS = PrefixKeys(bytes(32))
prompt_keys, block_keys, root_key = KEYS.prompt_keys, KEYS.block_keys, KEYS.root_key
ROOT = root_key("m")
GOLDEN = [726312043717471323, 693063108184395390, 418267182089033357]


@given(TOKENS, TOKENS)
def test_keys_are_equal_exactly_as_far_as_the_prefixes_are(one: list[int], other: list[int]) -> None:
    for a, b in [(one, other), (one + other, one + other[::-1]), (one, one + other)]:
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        keys_a, keys_b = prompt_keys(Prompt(a), ROOT), prompt_keys(Prompt(b), ROOT)
        assert len(keys_a) == len(a) // KEY_TOKENS
        shared = same // KEY_TOKENS
        assert keys_a[:shared] == keys_b[:shared]
        assert not set(keys_a[shared:]) & set(keys_b[shared:])


@given(TOKENS, st.sampled_from([1, 7, 16, 24, 32, 48, 64, 100, 128, 272]), st.lists(st.integers(1, 5), min_size=1))
def test_blocks_of_any_size_in_any_runs_have_the_prompts_keys(tokens: list[int], block: int, runs: list[int]) -> None:
    """Each key comes with the block in which its tokens end."""
    wanted = prompt_keys(Prompt(tokens), ROOT)
    prefix, done = PrefixEnd(ROOT), 0
    for run in runs * len(tokens):
        blocks = block_keys(tokens[done : done + run * block], (), prefix, block)
        if not blocks:
            break
        for end, keys in blocks:
            prefix, done = end, done + block
            assert keys == wanted[(done - block) // KEY_TOKENS : done // KEY_TOKENS]
    assert len(tokens) - done < block


@given(TOKENS)
def test_a_key_fits_into_the_bits_that_python_keeps_in_32_bytes(tokens: list[int]) -> None:
    for key in [ROOT, *prompt_keys(Prompt(tokens), ROOT)]:
        assert 0 <= key < 2**KEY_BITS
        assert sys.getsizeof(key) <= 32


def test_order_counts() -> None:
    one, two = list(range(64)), list(range(100, 164))
    assert prompt_keys(Prompt(one + two), ROOT)[-1] != prompt_keys(Prompt(two + one), ROOT)[-1]


def test_models_adapters_and_salts_share_nothing() -> None:
    tokens = list(range(4 * KEY_TOKENS))
    roots = [
        root_key(*parts) for parts in [("m",), ("n",), ("m", "a"), ("m", "", "a"), ("m", "a", "s"), ("ma", "", "s")]
    ]
    keys = [key for root in roots for key in prompt_keys(Prompt(tokens), root)]
    assert len(set(keys)) == len(keys) == 6 * 4


def test_pictures_under_the_same_text_differ() -> None:
    tokens = [1] * 80 + [9] * 160 + [2] * 80
    with_cat = prompt_keys(Prompt(tokens, (Media(80, 160, "cat"),)), ROOT)
    with_dog = prompt_keys(Prompt(tokens, (Media(80, 160, "dog"),)), ROOT)
    without = prompt_keys(Prompt(tokens), ROOT)
    assert with_cat[0] == with_dog[0] == without[0], "the text before them is the same"
    assert len({*with_cat[1:], *with_dog[1:], *without[1:]}) == 12


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(1, 200), st.sampled_from(["cat", "dog", "owl"])), max_size=3),
    st.sampled_from([16, 32, 128]),
)
def test_engines_marks_lead_to_the_gateways_keys(pictures: list[tuple[int, int, str]], block: int) -> None:
    """The gateway knows where pictures lie; an engine marks, for each run of blocks, those that touch it."""
    placeholder = 9
    tokens: list[int] = []
    media = []
    for text, length, identity in pictures:
        tokens += [1] * text + [5]
        media.append(Media(len(tokens), length, identity))
        tokens += [placeholder] * length
    tokens += [7] * 160
    wanted = prompt_keys(Prompt(tokens, tuple(media)), ROOT)
    keys: list[int] = []
    prefix = PrefixEnd(ROOT)
    for start in range(0, len(tokens) - block + 1, block):
        marks = [
            MediaMark(m.start - start, m.identity)
            for m in media
            if m.start < start + block and m.start + m.tokens > start
        ]
        ((prefix, own),) = block_keys(tokens[start : start + block], marks, prefix, block)
        keys += own
    assert keys == wanted[: len(tokens) // block * block // KEY_TOKENS]
    all_marks = [MediaMark(m.start, m.identity) for m in media if m.start < len(tokens) // block * block]
    whole = block_keys(tokens, all_marks, PrefixEnd(ROOT), block)
    assert [key for _, own in whole for key in own] == keys


def test_a_secret_makes_the_same_keys_in_every_process() -> None:
    root = PrefixKeys(bytes(range(32))).root_key("m", "", "salt")
    keys = PrefixKeys(bytes(range(32))).prompt_keys(Prompt(list(range(128))), root)
    assert [root, *keys] == GOLDEN


@given(TOKENS)
def test_keys_of_different_secrets_have_nothing_in_common(tokens: list[int]) -> None:
    one, other = PrefixKeys(bytes(32)), PrefixKeys(bytes(31) + b"1")
    keys = [set(of.prompt_keys(Prompt(tokens), of.root_key("m"))) for of in (one, other)]
    assert not keys[0] & keys[1]
    assert one.root_key("m") != other.root_key("m")
    assert one.fingerprint != other.fingerprint


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="use 32"):
        PrefixKeys(b"short")
