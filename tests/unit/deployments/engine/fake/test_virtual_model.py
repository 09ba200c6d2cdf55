from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.engine.fake.tokenizer import VOCABULARY_SIZE, Control, decode, encode
from deployments.engine.fake.virtual_model import SYLLABLES, Answer

PROMPTS = st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=40)


def told(prompt: list[int], count: int, tokens_per_answer: int = 1000) -> list[int]:
    answer = Answer(prompt, tokens_per_answer)
    return [answer.next_token() for _ in range(count)]


@given(PROMPTS, st.integers(0, 20))
def test_an_answer_continues_from_any_point(prompt: list[int], cut: int) -> None:
    whole = told(prompt, 20)
    assert told(prompt + whole[:cut], 20 - cut) == whole[cut:]


@given(PROMPTS, st.integers(1, 12), st.integers(0, 11))
def test_the_end_is_the_same_from_any_point(prompt: list[int], length: int, cut: int) -> None:
    opened = [*prompt, Control.ASSISTANT]
    begun = told(opened, min(cut, length - 1), length)
    answer = Answer(opened + begun, length)
    count = len(begun)
    while not answer.is_over:
        answer.next_token()
        count += 1
    assert count == length


@given(PROMPTS, PROMPTS)
def test_other_prompts_get_other_answers(one: list[int], other: list[int]) -> None:
    assert (told(one, 12) == told(other, 12)) == (one == other)


@given(PROMPTS)
def test_an_answer_read_back_as_text_has_the_ids_it_was_emitted_with(prompt: list[int]) -> None:
    tokens = told(prompt, 16)
    assert encode(decode(tokens)) == tokens


def test_a_prompt_without_an_open_turn_never_ends() -> None:
    for prompt in ([], encode("plain text"), [Control.ASSISTANT, 1, Control.END]):
        answer = Answer(prompt, 1)
        answer.next_token()
        assert not answer.is_over


def test_golden_answer() -> None:
    assert decode(told(encode("hello"), 6)) == "kunfenpurne bo fi "


def test_syllables_are_single_tokens() -> None:
    assert len(SYLLABLES) == 16 * 5 * 4
    assert all(len(decode([token])) == 3 for token in SYLLABLES)
