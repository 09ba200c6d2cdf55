"""The arguments of earlier tool calls: texts of JSON, which vLLM reads, and answers 500 where they nest too deeply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.engine_work.nodes import JSON_TEXT

MOST_NESTING = 200
"""Levels of objects and arrays. Python's own reader gives up at 1,000, some of which its caller has used."""

TEXT_OR_BRACKET = re.compile(JSON_TEXT + r"|[\[{\]}]", re.DOTALL)
"""A text, or the beginning or end of an object or array."""


def check_arguments(body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 where a tool call's arguments are nested more than `MOST_NESTING` levels deep."""
    for field, text in _arguments(body):
        if _is_nested(text):
            raise ApiError(
                400, f"a tool call's `arguments` are nested more than {MOST_NESTING} levels deep", param=field
            )


def _arguments(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for message in _objects(body.get("messages")):
        for call in _objects(message.get("tool_calls")):
            function = call.get("function")
            if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
                yield "messages", text
    for item in _objects(body.get("input")):
        if isinstance(text := item.get("arguments"), str):
            yield "input", text


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _is_nested(text: str) -> bool:
    if text.count("[") + text.count("{") <= MOST_NESTING:
        return False
    depth = 0
    for found in TEXT_OR_BRACKET.finditer(text):
        match text[found.start()]:
            case "[" | "{":
                depth += 1
                if depth > MOST_NESTING:
                    return True
            case "]" | "}":
                depth -= 1
    return False
