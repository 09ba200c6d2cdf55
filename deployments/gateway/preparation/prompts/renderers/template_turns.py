"""OpenAI's chat messages and tools as vLLM hands them to a chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.gateway.preparation.prompts.renderers.base import Unrendered, plain_text

ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_KEYS = {"role", "content", "name"}
FURTHER_KEYS = {"assistant": {"tool_calls", "reasoning", "reasoning_content"}, "tool": {"tool_call_id"}}
PICTURE_KEYS = {"type", "image_url", "uuid"}
SKIPPED_HEADER = "x-anthropic-billing-header"
"""vLLM drops a system text that begins like this."""

Turn = dict[str, Any]


def turns_of(messages: Any, knows_developer: bool) -> list[Turn]:
    """Turns with content as a list of parts; where the template has no developer role, developers speak as the system.

    Raises Unrendered, or any other error on malformed messages.
    """
    turns = [_turn(message) for message in messages]
    if not turns:
        raise Unrendered("no messages")
    if knows_developer or all(turn["role"] != "developer" for turn in turns):
        return turns
    for turn in turns:
        if turn["role"] == "developer":
            turn["role"] = "system"
            del turn["tools"]
    return _system_first(turns)


def tool_schemas(tools: Any) -> list[dict[str, Any]] | None:
    """Tools with the fields that vLLM knows, in its order. Raises Unrendered, or any other error on malformed ones."""
    return [_tool(tool) for tool in tools] if tools else None


def _system_first(turns: list[Turn]) -> list[Turn]:
    """One system turn at the head in place of several or late ones."""
    systems = [turn for turn in turns if turn["role"] == "system"]
    if len(systems) == 1 and turns[0] is systems[0]:
        return turns
    said = ["\n".join(part["text"] for part in turn["content"] if "text" in part) for turn in systems]
    head = {"role": "system", "content": "\n\n".join(text for text in said if text)}
    return [head, *(turn for turn in turns if turn["role"] != "system")]


def _turn(message: Any) -> Turn:
    role = message["role"]
    if role not in ROLES or not message.keys() <= MESSAGE_KEYS | FURTHER_KEYS.get(role, set()):
        raise Unrendered("a message of an unknown role or form")
    content = message.get("content")
    parts = [content] if isinstance(content, str) else content or []
    turn: Turn = {"role": role, "content": [_part(part) for part in parts]}
    if role == "system" and any(p.get("text", "").startswith(SKIPPED_HEADER) for p in turn["content"]):
        raise Unrendered("a system text that the engine shortens")
    if role == "assistant":
        turn |= _assistant(message)
    if role == "tool":
        if any(part["type"] != "text" for part in turn["content"]):
            raise Unrendered("a tool's answer that is no text")
        turn["content"] = "\n".join(part["text"] for part in turn["content"])
        turn |= {"tool_call_id": message["tool_call_id"]} if "tool_call_id" in message else {}
    if role == "developer":
        turn["tools"] = None
    if isinstance(message.get("name"), str):
        turn["name"] = message["name"]
    return turn


def _assistant(message: Mapping[str, Any]) -> Turn:
    further: Turn = {}
    if calls := message.get("tool_calls"):
        further["tool_calls"] = [_call(call) for call in calls]
    reasoning = message.get("reasoning")
    if reasoning is None:
        reasoning = message.get("reasoning_content")
    if reasoning is not None:
        further |= {"reasoning": reasoning, "reasoning_content": reasoning}
    return further


def _call(call: Any) -> dict[str, Any]:
    """With its arguments as an object; what is no object becomes an empty one."""
    if call.get("type", "function") != "function":
        raise Unrendered("a tool call that is no function's")
    function = call["function"]
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}
    return {**call, "function": {**function, "arguments": arguments if isinstance(arguments, dict) else {}}}


def _tool(tool: Any) -> dict[str, Any]:
    function = tool["function"]
    if tool.get("type", "function") != "function" or "defer_loading" in tool or "defer_loading" in function:
        raise Unrendered("a tool of an unknown form")
    schema = {name: function.get(name) for name in ("name", "description", "parameters")}
    if function.get("strict") is not None:
        schema["strict"] = function["strict"]
    return {"type": "function", "function": schema}


def _part(part: Any) -> dict[str, Any]:
    text = plain_text(part)
    if text is not None:
        return {"type": "text", "text": text}
    if isinstance(part, dict) and part.keys() <= PICTURE_KEYS and part.get("type") == "image_url":
        return {"type": "image"}
    raise Unrendered("a content part that is neither text nor a picture")


def is_plain(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether turns hold only text, by the system, a user or the assistant."""
    return all(
        turn.keys() <= MESSAGE_KEYS
        and turn["role"] in ("system", "user", "assistant")
        and isinstance(turn["content"], list)
        and all(part["type"] == "text" for part in turn["content"])
        for turn in turns
    )
