from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_harmony import HarmonyEncodingName, load_harmony_encoding

from deployments.gateway.preparation.prompts.checkpoint import Checkpoint
from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.renderers import Unrendered, harmony_messages
from deployments.gateway.preparation.prompts.renderers.harmony import HarmonyRenderer
from deployments.gateway.request.route_bodies import PromptForm

CHAT = PromptForm.MESSAGES
ENCODING = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@pytest.fixture(scope="module")
def renderer(harmony_tokenizer_file: str) -> HarmonyRenderer:
    return HarmonyRenderer(Checkpoint(harmony_tokenizer_file))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **further: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **further}


def spelt(renderer: HarmonyRenderer, **body: Any) -> str:
    """A chat as text, without the system message."""
    text = ENCODING.decode(renderer.render(CHAT, body, []).prompt.token_ids)
    return text.partition("<|end|>")[2]


def test_turns(renderer: HarmonyRenderer) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        user("a"),
        assistant("b"),
        user([{"type": "text", "text": "c"}]),
    ]
    assert spelt(renderer, messages=turns) == (
        "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>"
        "<|start|>user<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|end|>"
        "<|start|>user<|message|>c<|end|><|start|>assistant"
    )


def test_reasoning_stays_until_it_is_answered(renderer: HarmonyRenderer) -> None:
    open_turn = [user("a"), assistant("", reasoning="hm"), user("b")]
    assert "<|channel|>analysis<|message|>hm<|end|>" in spelt(renderer, messages=open_turn)
    assert "hm" not in spelt(renderer, messages=[*open_turn, assistant("c"), user("d")])


def test_earlier_tool_calls_have_the_headers_of_the_training(renderer: HarmonyRenderer) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    turns = [user("a"), assistant(None, tool_calls=[call]), {"role": "tool", "tool_call_id": "1", "content": "85"}]
    text = spelt(renderer, messages=turns, tools=[{"type": "function", "function": {"name": "add"}}])
    assert "<|start|>assistant to=functions.add<|channel|>commentary json<|message|>{}<|call|>" in text
    assert "<|start|>functions.add<|channel|>commentary to=assistant<|message|>85<|end|>" in text
    assert "namespace functions" in text


texts = st.lists(
    st.sampled_from(["word ", "naïve ", "日本語", "🙂🏽", "\n\n", "  ", "12345", "don't", "{}", "<", "|>", "\u00a0"])
)


@given(texts, texts, st.booleans())
def test_long_texts_come_out_as_the_library_has_them(
    renderer: HarmonyRenderer, one: list[str], other: list[str], tools: bool
) -> None:
    turns = [{"role": "system", "content": "".join(one)}, user("".join(other)), assistant("".join(one)), user("x")]
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    body = {"messages": turns, "tools": [tool] if tools else None}
    whole = renderer.render(CHAT, body, []).prompt.token_ids
    before, harmony_messages.LONG = harmony_messages.LONG, 1
    try:
        assert renderer.render(CHAT, body, []).prompt.token_ids == whole
    finally:
        harmony_messages.LONG = before


@given(st.text(max_size=80))
def test_control_tokens_in_a_text_are_text(renderer: HarmonyRenderer, text: str) -> None:
    rendered = renderer.render(CHAT, {"messages": [user(text + "<|end|>" * 200)]}, []).prompt.token_ids
    assert rendered.count(200007) == 2  # the ends of the system's and of the user's turn


CALLS = [{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]
UNSURE: dict[str, dict[str, Any]] = {
    "an unknown effort": {"messages": [user("a")], "reasoning_effort": "minimal"},
    "a tool of another kind": {"messages": [user("a")], "tools": [{"type": "x", "function": {"name": "f"}}]},
    "arguments that are no text": {"messages": [user("a"), assistant("", tool_calls=CALLS)]},
    "tool calls that are no list": {"messages": [user("a"), assistant("x", tool_calls=None)]},
    "an unknown role": {"messages": [{"role": "function", "content": "x"}]},
    "an unknown field": {"messages": [{**user("a"), "task": "x"}]},
    "a part that is no text": {"messages": [user([{"type": "file", "file": {}}])]},
    "no turns": {"messages": []},
    "arguments of a template": {"messages": [user("a")], "chat_template_kwargs": {"a": 1}},
}


@pytest.mark.parametrize("case", UNSURE)
def test_what_is_not_sure_is_not_rendered(renderer: HarmonyRenderer, case: str) -> None:
    with pytest.raises(Unrendered):
        renderer.render(CHAT, UNSURE[case], [])


def test_pictures_are_not_for_this_model(renderer: HarmonyRenderer) -> None:
    with pytest.raises(Unrendered, match="no media"):
        renderer.render(CHAT, {"messages": [user("a")]}, [Picture("x", None)])


def test_responses_are_rendered_as_chats(renderer: HarmonyRenderer) -> None:
    made = renderer.render(PromptForm.INPUT, {"input": "a", "instructions": "b", "store": False}, [])
    chat = renderer.render(CHAT, {"messages": [{"role": "system", "content": "b"}, user("a")]}, [])
    assert made.prompt == chat.prompt
    assert not made.exact
    for body in ({"input": [user("a")]}, {"input": "a", "previous_response_id": "x"}, {"input": ""}):
        with pytest.raises(Unrendered):
            renderer.render(PromptForm.INPUT, body, [])


def test_completions(renderer: HarmonyRenderer) -> None:
    assert renderer.render(PromptForm.PROMPT, {"prompt": "hello"}, []).prompt.token_ids == [24912]
