"""What an engine takes for the messages or items that it renders itself, in units of `UNIT_S`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.gateway.preparation.engine_work.nodes import nodes_of
from deployments.gateway.preparation.engine_work.refusing import too_complex
from deployments.gateway.request.route_bodies import PromptForm

UNIT_S = 1e-4
MOST_UNITS = 6000
"""Of one body: 0.6 s of an engine's event loop."""

MESSAGE, PART, TOOL = 2, 1, 3
MALFORMED_ITEM, MALFORMED_PART = 40, 3
"""An item or part of a response's input that none of vLLM's request models takes: it tries all of them."""

HARMONY, CALL = "harmony", 25
"""A tool call with the Harmony library, which reads the names of all control tokens for each. Other renderers take less
than 0.2 units for a message of a chat with all that it holds, so that `MOST_NODES` bounds them."""

ITEMS: dict[str, dict[str, tuple[type, ...]]] = {
    "function_call": {"call_id": (str,), "name": (str,), "arguments": (str,)},
    "custom_tool_call": {"call_id": (str,), "name": (str,), "input": (str,)},
    "function_call_output": {"call_id": (str,), "output": (str, list)},
    "custom_tool_call_output": {"call_id": (str,), "output": (str, list)},
    "reasoning": {"id": (str,), "summary": (list,)},
}
"""Types of items that vLLM knows, and the fields that they need."""

SPEAKERS = ("user", "system", "developer")
TEXT_PARTS = ("input_text", "output_text", "summary_text", "reasoning_text", "text")


def check_rendering(prompt: PromptForm | None, body: Mapping[str, Any], renderer: str) -> None:
    """Raises ApiError 400 where an engine would take too long to render a body whose token ids it is not given."""
    harmony = renderer == HARMONY
    if prompt is PromptForm.INPUT:
        units = _response_units(body, CALL if harmony else 0)
    else:
        units = _harmony_units(body) if harmony else 0
    if units > MOST_UNITS:
        name = "input" if prompt is PromptForm.INPUT else "messages"
        raise too_complex(
            f"reading and rendering `{name}` and `tools` would take its engine about {units * UNIT_S:.1f} s, "
            f"more than {MOST_UNITS * UNIT_S:g} s; send fewer or plainer ones",
            name,
        )


def _harmony_units(body: Mapping[str, Any]) -> int:
    units = 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        units += MESSAGE + PART * _length(message, "content") + CALL * _length(message, "tool_calls")
    return units


def _response_units(body: Mapping[str, Any], call: int) -> int:
    items, tools = body.get("input"), body.get("tools")
    units = TOOL * len(tools) if isinstance(tools, list) else 0
    for item in items if isinstance(items, list) else ():
        if not _is_known(item):
            units += MALFORMED_ITEM
        elif item.get("type") in ("function_call", "custom_tool_call"):
            units += call
        units += MESSAGE + PART * sum(1 for _ in nodes_of(item))
        for name in ("content", "output") if isinstance(item, dict) else ():
            parts = item.get(name)
            units += MALFORMED_PART * sum(map(_is_odd, parts)) if isinstance(parts, list) else 0
    return units


def _is_known(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type", "message")
    if kind == "message":
        own = item.get("role") in SPEAKERS or "id" in item or isinstance(item.get("content"), str)
        return own and isinstance(item.get("content"), str | list)
    wanted = ITEMS.get(kind) if isinstance(kind, str) else None
    return wanted is not None and all(isinstance(item.get(name), types) for name, types in wanted.items())


def _is_odd(part: Any) -> bool:
    return not (isinstance(part, dict) and part.get("type") in TEXT_PARTS and isinstance(part.get("text"), str))


def _length(message: Any, name: str) -> int:
    value = message.get(name) if isinstance(message, dict) else None
    return len(value) if isinstance(value, list) else 0
