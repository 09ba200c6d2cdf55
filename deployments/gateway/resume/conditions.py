"""Which streams another replica can continue as if nothing had happened.

Token ids carry what was said, and nothing else of an engine's state. So every field of a request is looked at: those
that sample anew from each token on are sent again, those that only made the prompt are done with, and a value that
looks back on the answer so far (a stop string half said, a penalty on what was said, a grammar, a parser of tool calls)
rules it out. A field that is not known here does too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.gateway.preparation.prompts.renderers.base import text_parts
from deployments.gateway.request.route_bodies import PromptForm

CARRIED = (
    "allowed_token_ids",
    "cache_salt",
    "ignore_eos",
    "logit_bias",
    "min_p",
    "priority",
    "repetition_penalty",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "stop_token_ids",
    "stream_options",
    "temperature",
    "top_k",
    "top_p",
)
"""Sent again as they came: they look at no more than the tokens before the next one, prompt or answer."""

REWRITTEN = (
    *("model", "messages", "prompt", "stream"),
    *("max_tokens", "max_completion_tokens", "min_tokens", "return_token_ids"),
)
SPENT = (
    "add_generation_prompt",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "documents",
    "metadata",
    "prompt_cache_key",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""They made the prompt, or are for the record."""

HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "bad_words": (None, []),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "include_reasoning": (None, True),
    "include_stop_str_in_output": (None, False),
    "logprobs": (None, False),
    "n": (None, 1),
    "parallel_tool_calls": (None, True, False),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "stop": (None, "", []),
    "suffix": (None,),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
}
"""Fields -> the values with which they ask for nothing that is lost with a replica."""

KNOWN = frozenset((*CARRIED, *REWRITTEN, *SPENT, *HARMLESS, "seed"))


class NotExact(Exception):
    """A stream that cannot be continued exactly. The message says why, in a few words."""


def why_not(prompt: PromptForm | None, body: Mapping[str, Any]) -> str:
    """Why a stream of this body could not be continued; '' where it could."""
    for name, value in body.items():
        if name not in KNOWN or (name in HARMLESS and not _among(value, HARMLESS[name])):
            return f"`{name}` is set"
    if body.get("seed") is not None and body.get("temperature") != 0:
        return "`seed` is set, and a sampler's state is lost with its replica"
    if body.get("return_token_ids", True) is not True:
        return "`return_token_ids` is not true"
    if prompt is PromptForm.PROMPT:
        return "" if _is_one_prompt(body.get("prompt")) else "there are several prompts"
    return _why_not_messages(body.get("messages"))


def _among(value: Any, harmless: tuple[Any, ...]) -> bool:
    """As equal as JSON has it: 0 is no false."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in harmless)


def _is_one_prompt(prompt: Any) -> bool:
    if isinstance(prompt, list) and len(prompt) == 1:
        return True
    return isinstance(prompt, str) or (isinstance(prompt, list) and all(type(token) is int for token in prompt))


def _why_not_messages(messages: Any) -> str:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return "its messages are malformed"
    if any(text_parts(message.get("content")) is None for message in messages):
        return "its messages hold more than text"
    return ""
