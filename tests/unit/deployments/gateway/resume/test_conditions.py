from __future__ import annotations

from typing import Any

import pytest

from deployments.gateway.request.route_bodies import PromptForm
from deployments.gateway.resume.conditions import CARRIED, HARMLESS, why_not

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0, "seed": 1, "top_p": 0.9, "max_completion_tokens": 4, "user": "someone"},
        {"stop": [], "logprobs": False, "n": 1, "tools": [], "response_format": {"type": "text"}},
        {"stop": None, "frequency_penalty": 0.0, "return_token_ids": True},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    ],
)
def test_plain_chats_are_followed(fields: dict[str, Any]) -> None:
    assert why_not(PromptForm.MESSAGES, {**HELLO, **fields}) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"seed": 1}, "`seed`"),
        ({"seed": 1, "temperature": 0.2}, "`seed`"),
        ({"logprobs": True}, "`logprobs`"),
        ({"tools": [{"type": "function"}]}, "`tools`"),
        ({"n": 2}, "`n`"),
        ({"n": True}, "`n`"),
        ({"echo": True}, "`echo`"),
        ({"frequency_penalty": 0.1}, "`frequency_penalty`"),
        ({"structured_outputs": {"json": {}}}, "`structured_outputs`"),
        ({"kv_transfer_params": {"x": 1}}, "`kv_transfer_params`"),
        ({"include_reasoning": False}, "`include_reasoning`"),
        ({"return_token_ids": False}, "`return_token_ids`"),
        ({"messages": "hello"}, "malformed"),
        ({"messages": ["hello"]}, "malformed"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]}, "text"),
    ],
)
def test_a_field_that_looks_back_on_the_answer_rules_a_continuation_out(fields: dict[str, Any], reason: str) -> None:
    assert reason in why_not(PromptForm.MESSAGES, {**HELLO, **fields})


@pytest.mark.parametrize(
    ("prompt", "followed"),
    [
        *[("a", True), (["a"], True), ([1, 2], True), ([[1, 2]], True)],
        *[(["a", "b"], False), ([[1], [2]], False), (None, False), ({}, False)],
    ],
)
def test_one_prompt_is_followed(prompt: Any, followed: bool) -> None:
    assert (why_not(PromptForm.PROMPT, {"prompt": prompt}) == "") is followed


def test_a_field_is_either_sent_again_or_looked_at() -> None:
    assert not set(CARRIED) & set(HARMLESS)


def test_a_field_that_nobody_thought_of_rules_it_out() -> None:
    assert why_not(PromptForm.MESSAGES, {**HELLO, "of_tomorrow": None}) == "`of_tomorrow` is set"
