from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.renderers import Rendered, Unrendered
from deployments.gateway.preparation.prompts.renderers.template import TemplateRenderer
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Media
from tests.support import tiny_checkpoint as tiny

CHAT, COMPLETIONS = PromptForm.MESSAGES, PromptForm.PROMPT
TOKENIZER = tiny.tokenizer()
RENDERER = TemplateRenderer(tiny.checkpoint())


def ids(text: str) -> list[int]:
    return list(TOKENIZER.encode(text).ids)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


PICTURE = {"type": "image_url", "image_url": {"url": "data:"}, "uuid": "u"}


def chat(body: dict[str, Any], pictures: list[Picture] | None = None, renderer: Any = RENDERER) -> Rendered:
    made: Rendered = renderer.render(CHAT, body, pictures or [])
    return made


def test_a_chat_is_its_template() -> None:
    turns = [{"role": "system", "content": "s"}, user("a"), {"role": "assistant", "content": None}, user([text("b")])]
    made = chat({"messages": turns})
    spelt = "<|im_start|>{}\n{}<|im_end|>\n"
    expected = "".join(spelt.format(*t) for t in (("system", "s"), ("user", "a"), ("assistant", ""), ("user", "b")))
    assert made.prompt.token_ids == ids(expected + "<|im_start|>assistant\n")
    assert made.exact
    assert made.whole


@given(st.text())
def test_any_text_is_tokenised_as_it_is(words: str) -> None:
    made = chat({"messages": [user(words)]})
    assert made.prompt.token_ids == ids(f"<|im_start|>user\n{words}<|im_end|>\n<|im_start|>assistant\n")


def test_pictures_have_their_places() -> None:
    parts = [PICTURE, text("x"), PICTURE]
    made = chat({"messages": [user(parts)]}, [Picture("one", (64, 64)), Picture("two", (32, 32))])
    start = len(ids("<|im_start|>user\n<|vision_start|>"))
    assert made.prompt.media == (
        Media(start, 4, "one"),
        Media(start + 4 + len(ids("<|vision_end|>x<|vision_start|>")), 1, "two"),
    )
    assert made.prompt.token_ids.count(tiny.IMAGE_PAD) == 5
    assert made.prompt.token_ids[-len(ids("assistant\n")) :] == ids("assistant\n")
    assert not made.exact


@pytest.mark.parametrize("size", [None, (1, 400)])
def test_the_prompt_ends_before_a_picture_of_which_nothing_is_known(size: tuple[int, int] | None) -> None:
    parts = [text("ab"), PICTURE, text("x"), PICTURE]
    made = chat({"messages": [user(parts)]}, [Picture("one", size), Picture("two", (32, 32))])
    assert made.prompt.token_ids == ids("<|im_start|>user\nab<|vision_start|>")
    assert made.prompt.media == ()
    assert not made.whole


TURNS: dict[str, Any] = {"messages": [user("a")]}
TOOL = {"type": "function", "function": {"name": "f", "x": 1, "parameters": {"b": 1, "a": 2}}}
UNSURE: dict[str, dict[str, Any]] = {
    "a template of the client": {**TURNS, "chat_template": "x"},
    "a deferred tool": {**TURNS, "tools": [{**TOOL, "defer_loading": True}]},
    "a tool of another kind": {**TURNS, "tools": [{**TOOL, "type": "x"}]},
    "documents": {**TURNS, "documents": [{"text": "x"}]},
    "a turn to go on with": {**TURNS, "continue_final_message": True, "add_generation_prompt": False},
    "no opening": {**TURNS, "add_generation_prompt": False},
    "tokens around it": {**TURNS, "add_special_tokens": True},
    "cut": {**TURNS, "truncate_prompt_tokens": 5},
    "processing": {**TURNS, "mm_processor_kwargs": {"x": 1}},
    "no turns": {"messages": []},
    "a user's tool calls": {"messages": [{"role": "user", "tool_calls": []}]},
    "another role": {"messages": [{"role": "function", "content": "x"}]},
    "a tool's picture": {"messages": [{"role": "tool", "content": [PICTURE]}]},
    "another part": {"messages": [user([{"type": "video_url", "video_url": "x"}])]},
    "more in a part": {"messages": [user([{**text("x"), "cache_control": {}}])]},
    "a header that is dropped": {"messages": [{"role": "system", "content": "x-anthropic-billing-header: 1\nx"}]},
    "a placeholder in the text": {"messages": [user([PICTURE, text("<|image_pad|>")])]},
}


@pytest.mark.parametrize("case", UNSURE)
def test_what_is_not_sure_is_not_rendered(case: str) -> None:
    with pytest.raises(Unrendered):
        chat(UNSURE[case], [Picture("one", (64, 64))])


def test_no_template_and_another_route() -> None:
    with pytest.raises(Unrendered, match="no chat template"):
        chat(TURNS, renderer=TemplateRenderer(tiny.checkpoint(None)))
    with pytest.raises(Unrendered, match="responses"):
        RENDERER.render(PromptForm.INPUT, {"input": "x"}, [])


def with_template(source: str) -> TemplateRenderer:
    return TemplateRenderer(tiny.checkpoint(source))


PLAIN = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
LOOP = "{% for m in messages %}{% for c in m['content'] %}[{{ c['text'] }}]{% endfor %}{% endfor %}"
BOTH = (
    "{% for m in messages %}{% set x = m.content %}{% if x is string %}[{{ x }}]{% else %}"
    "{% for c in x %}[{{ c.text }}]{% endfor %}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "content", "expected"),
    [
        (PLAIN, "a", "[a]"),
        (PLAIN, [text("a"), text("b")], "[a\nb]"),
        (LOOP, "a", "[a]"),
        (LOOP, [text("a"), text("b")], "[a][b]"),
        (BOTH, "a", "[a]"),
    ],
)
def test_content_goes_in_as_the_template_takes_it(source: str, content: Any, expected: str) -> None:
    assert chat({"messages": [user(content)]}, renderer=with_template(source)).prompt.token_ids == ids(expected)


def test_two_ways_that_differ_are_neither() -> None:
    with pytest.raises(Unrendered, match="two ways"):
        chat({"messages": [user([text("a"), text("b")])]}, renderer=with_template(BOTH))
    with pytest.raises(Unrendered, match="of its own"):
        chat({"messages": [user([PICTURE])]}, [Picture("one", (64, 64))], renderer=with_template(PLAIN))


CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"z": 1, "y": 2}'}}]
TOOLS = "{{ tools | tojson }}{% for m in messages %}[{{ m.role }}:{{ m.content }}|{{ m.tool_calls }}]{% endfor %}"


@pytest.mark.parametrize(
    "further", [{"tools": [TOOL]}, {"reasoning_effort": "low"}, {"chat_template_kwargs": {"zzz": 1}}]
)
def test_what_a_template_does_not_mention_changes_nothing(further: dict[str, Any]) -> None:
    made = chat({**TURNS, **further})
    assert made.prompt.token_ids == chat(TURNS).prompt.token_ids
    assert made.exact


@pytest.mark.parametrize(
    ("further", "source", "expected"),
    [
        ({"reasoning_effort": "low"}, "{{ reasoning_effort }}{{ enable_thinking }}", "lowTrue"),
        ({"reasoning_effort": "none"}, "{{ enable_thinking }}", "False"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "{{ enable_thinking }}", "False"),
        ({"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": 7}}, "{{ enable_thinking }}", "7"),
        ({"chat_template_kwargs": {"reasoning_effort": "x"}, "reasoning_effort": "y"}, "{{ reasoning_effort }}", "y"),
    ],
)
def test_variables_of_a_template(further: dict[str, Any], source: str, expected: str) -> None:
    made = chat({**TURNS, **further}, renderer=with_template(source))
    assert made.prompt.token_ids == ids(expected)
    assert not made.exact


@pytest.mark.parametrize("name", ["tools", "messages", "tokenize", "chat_template", "continue_final_message"])
def test_names_that_are_no_variables(name: str) -> None:
    with pytest.raises(Unrendered):
        chat({**TURNS, "chat_template_kwargs": {name: True}})


def test_tools_and_their_calls() -> None:
    turns = [user("a"), {"role": "assistant", "tool_calls": CALLS}, {"role": "tool", "content": [text("x"), text("y")]}]
    made = chat({"messages": turns, "tools": [TOOL]}, renderer=with_template(TOOLS))
    schema = '[{"type": "function", "function": {"name": "f", "description": null, "parameters": {"b": 1, "a": 2}}}]'
    spelt = TOKENIZER.decode(made.prompt.token_ids, skip_special_tokens=False)
    assert spelt.startswith(schema + "[user:a|][assistant:|[{")
    assert "'arguments': {'z': 1, 'y': 2}" in spelt
    assert spelt.endswith("[tool:x\ny|]")
    assert not made.exact


@pytest.mark.parametrize("arguments", ["[1]", "oops", "", None, 7])
def test_arguments_that_are_no_object_become_an_empty_one(arguments: Any) -> None:
    calls = [{"id": "1", "function": {"name": "f", "arguments": arguments}}]
    source = "{{ messages[0].content }}{% for c in messages[0].tool_calls %}{{ c.function.arguments }}{% endfor %}"
    made = chat(
        {"messages": [{"role": "assistant", "content": "", "tool_calls": calls}]}, renderer=with_template(source)
    )
    assert made.prompt.token_ids == ids("{}")


def test_developers_speak_as_the_system_where_a_template_does_not_know_them() -> None:
    turns = [user("a"), {"role": "developer", "content": "d"}, {"role": "system", "content": [text("s"), text("t")]}]
    merged = [{"role": "system", "content": "d\n\ns\nt"}, user("a")]
    made = chat({"messages": turns})
    assert made.prompt.token_ids == chat({"messages": merged}).prompt.token_ids
    assert not made.exact
    known = "{# 'developer' #}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
    made = chat({"messages": turns[:2]}, renderer=with_template(known))
    assert made.prompt.token_ids == ids("[user:a][developer:d]")


@pytest.mark.parametrize(
    ("prompt", "expected"), [("ab", ids("ab")), (["ab"], ids("ab")), ([1, 2], [1, 2]), ([[1, 2]], [1, 2])]
)
def test_completions(prompt: Any, expected: list[int]) -> None:
    made = RENDERER.render(COMPLETIONS, {"prompt": prompt}, [])
    assert (made.prompt.token_ids, made.exact) == (expected, True)


@pytest.mark.parametrize("prompt", ["", None, [], ["a", "b"], [[1], [2]], [True], [-1], 7, {"a": 1}])
def test_completions_of_several_prompts_or_none(prompt: Any) -> None:
    with pytest.raises(Unrendered):
        RENDERER.render(COMPLETIONS, {"prompt": prompt}, [])


def test_completions_with_a_suffix() -> None:
    with pytest.raises(Unrendered):
        RENDERER.render(COMPLETIONS, {"prompt": "a", "suffix": "b"}, [])
