"""Token ids in place of text, where the engine is known to make the same of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.gateway.request.route_bodies import PromptForm

TEXT_WANTED = ("echo", "return_prompt_text", "prompt_logprobs")
"""Fields whose answer is made of the prompt's text."""


def drop_unowned_fields(body: dict[str, Any]) -> bool:
    """Removes, in place, what is not the client's to say. Returns whether there was anything.

    `priority` would let a client's requests overtake those of others in the engine's queue: see x-priority.

    Token ids that it gave for its messages need not be what these say: an engine would compute the ids, and the index
    would be told of the messages. A report of reused blocks would tell of them twice, and of their removal once.
    """
    priority = body.pop("priority", None) is not None
    ids = _dropped(body, "kv_transfer_params", "prompt_token_ids")
    report = _dropped(body, "vllm_xargs", "kv_cache_report_mode")
    return ids or report or priority


def _dropped(body: dict[str, Any], field: str, name: str) -> bool:
    given = body.get(field)
    if not isinstance(given, dict) or name not in given:
        return False
    left = {key: value for key, value in given.items() if key != name}
    if left:
        body[field] = left
    else:
        del body[field]
    return True


def with_ids(prompt: PromptForm | None, body: dict[str, Any], token_ids: Sequence[int]) -> dict[str, Any]:
    """A body that carries `token_ids` so that the engine need not tokenise; `body` itself where that may differ."""
    if any(body.get(name) for name in TEXT_WANTED) or body.get("prompt_logprobs") is not None:
        return body
    if prompt is PromptForm.PROMPT and isinstance(body.get("prompt"), str):
        return {**body, "prompt": token_ids}
    if prompt is PromptForm.MESSAGES:
        given = body.get("kv_transfer_params")
        if given is not None and not isinstance(given, dict):
            return body
        return {**body, "kv_transfer_params": {**(given or {}), "prompt_token_ids": token_ids}}
    return body
