"""The form of a chat's messages: vLLM's request models try each malformed one as every kind that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.gateway.errors.error_object import ApiError

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("name", "tool_call_id", "refusal", "reasoning", "reasoning_content"), ((str,), "a string")),
    "content": ((str, list), "a string or an array"),
    "tool_calls": ((list,), "an array"),
    "function_call": ((dict,), "an object"),
    "audio": ((dict,), "an object"),
}
"""Fields of a message -> the types that they may have beside null."""


def check_messages(body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 for messages that no engine can take. One takes vLLM up to 0.3 ms, and there may be many."""
    messages = body.get("messages")
    if messages is None:
        return
    if not isinstance(messages, list):
        raise _malformed("messages", "an array")
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _malformed(place, "an object")
        if not isinstance(message.get("role"), str):
            raise _malformed(f"{place}.role", "a string")
        for name in message.keys() & KINDS.keys():
            types, wanted = KINDS[name]
            if message[name] is not None and not isinstance(message[name], types):
                raise _malformed(f"{place}.{name}", wanted)


def _malformed(place: str, wanted: str) -> ApiError:
    return ApiError(400, f"`{place}` must be {wanted}", param=place.partition("[")[0])
