from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.preparation.prompts.renderers import load_renderer
from deployments.gateway.preparation.prompts.renderers.base import Unrendered
from deployments.gateway.request.route_bodies import PromptForm

TEXT = load_renderer("text", "nobody/has-this")


def tokens(form: PromptForm, **body: Any) -> list[int]:
    return list(TEXT.render(form, body, []).prompt.token_ids)


def chat(*contents: Any) -> list[int]:
    return tokens(PromptForm.MESSAGES, messages=[{"role": "user", "content": content} for content in contents])


@given(st.text(min_size=40), st.text(), st.text())
def test_texts_with_one_beginning_have_tokens_with_one_beginning(beginning: str, one: str, other: str) -> None:
    common = len(beginning.encode("utf-8", "surrogatepass")) // 4
    first, second = (tokens(PromptForm.PROMPT, prompt=beginning + end) for end in (one, other))
    assert first[:common] == second[:common]


def test_a_conversation_begins_with_its_former_turns() -> None:
    before = chat("What is the capital of France?", "Paris, of course.")
    after = chat("What is the capital of France?", "Paris, of course.", "And of Spain?")
    assert len(before) > 10
    assert after[: len(before)] == before


def test_roles_tools_and_borders_of_messages_count() -> None:
    hello = [{"role": "user", "content": "hello there"}]
    system = [{"role": "system", "content": "hello there"}]
    tool = [{"type": "function", "function": {"name": "f"}}]
    made = [
        tokens(PromptForm.MESSAGES, messages=hello),
        tokens(PromptForm.MESSAGES, messages=system),
        tokens(PromptForm.MESSAGES, messages=hello, tools=tool),
        chat("hello ", "there"),
        chat("hello there"),
    ]
    assert made[0] == made[4]
    assert len({tuple(each) for each in made}) == 4


def test_ids_and_responses_are_taken_and_tokens_are_about_a_quarter_of_the_bytes() -> None:
    assert tokens(PromptForm.PROMPT, prompt=[1, 2, 3]) == [1, 2, 3]
    assert len(tokens(PromptForm.PROMPT, prompt="word " * 800)) == 1000
    assert tokens(PromptForm.INPUT, input="a question of some length") == tokens(
        PromptForm.INPUT, input=[{"role": "user", "content": "a question of some length"}]
    )


@pytest.mark.parametrize("content", [[{"type": "image_url", "image_url": {"url": "data:,"}}], 5])
def test_anything_but_text_is_not_rendered(content: Any) -> None:
    with pytest.raises(Unrendered):
        chat(content)
