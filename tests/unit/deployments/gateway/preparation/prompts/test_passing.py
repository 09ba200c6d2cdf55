from __future__ import annotations

from typing import Any

import pytest

from deployments.gateway.preparation.prompts.passing import drop_unowned_fields, with_ids
from deployments.gateway.request.route_bodies import PromptForm

CHAT, COMPLETIONS = PromptForm.MESSAGES, PromptForm.PROMPT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kv_transfer_params": {"prompt_token_ids": [1]}}, {}),
        ({"kv_transfer_params": {"prompt_token_ids": None, "x": 1}}, {"kv_transfer_params": {"x": 1}}),
        ({"vllm_xargs": {"kv_cache_report_mode": "full"}, "n": 1}, {"n": 1}),
        ({"priority": -5, "n": 1}, {"n": 1}),
        ({"priority": 0}, {}),
        ({"vllm_xargs": {"kv_cache_report_mode": "full", "y": 2}}, {"vllm_xargs": {"y": 2}}),
    ],
)
def test_a_clients_ids_are_dropped_and_nothing_else(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert drop_unowned_fields(before)
    assert before == after


@pytest.mark.parametrize("body", [{}, {"kv_transfer_params": {"x": 1}}, {"kv_transfer_params": "prompt_token_ids"}])
def test_nothing_to_drop(body: dict[str, Any]) -> None:
    before = dict(body)
    assert not drop_unowned_fields(body)
    assert body == before


def test_ids_take_the_place_of_text() -> None:
    assert with_ids(COMPLETIONS, {"prompt": "ab", "n": 1}, [7, 8]) == {"prompt": [7, 8], "n": 1}
    sent = with_ids(CHAT, {"messages": [], "kv_transfer_params": {"x": 1}}, [7])
    assert sent == {"messages": [], "kv_transfer_params": {"x": 1, "prompt_token_ids": [7]}}


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (COMPLETIONS, {"prompt": "ab", "echo": True}),
        (COMPLETIONS, {"prompt": "ab", "prompt_logprobs": 0}),
        (COMPLETIONS, {"prompt": ["ab"]}),
        (COMPLETIONS, {"prompt": [1, 2]}),
        (CHAT, {"messages": [], "echo": True}),
        (CHAT, {"messages": [], "return_prompt_text": True}),
        (CHAT, {"messages": [], "kv_transfer_params": []}),
        (PromptForm.INPUT, {"input": "ab"}),
    ],
)
def test_text_stays_where_ids_may_differ(form: PromptForm, body: dict[str, Any]) -> None:
    assert with_ids(form, body, [7]) is body
