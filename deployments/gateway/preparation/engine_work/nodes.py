"""The objects and arrays of a body, counted before it is decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.engine_work.refusing import too_complex

MOST_NODES = 30_000
"""Objects and arrays in a body. vLLM's request models take up to 16 us for each."""

JSON_TEXT = r'"(?>[^"\\]+|\\.?)*+"?'
"""The pattern of a text of JSON, also of one that does not end. With DOTALL. It never goes back."""

TEXT_OR_NODE = re.compile(JSON_TEXT.encode() + rb"|[\[{]", re.DOTALL)
"""A text, or the beginning of an object or array."""

QUOTE = ord('"')


def check_nodes(raw: bytes) -> None:
    """Raises ApiError 400 where JSON has more than `MOST_NODES` objects and arrays.

    Before it is decoded, which takes 20 times the memory of `[]`. Braces within texts do not count.
    """
    if raw.count(b"[") + raw.count(b"{") <= MOST_NODES:
        return
    nodes = 0
    for found in TEXT_OR_NODE.finditer(raw):
        nodes += raw[found.start()] != QUOTE
        if nodes > MOST_NODES:
            if b"]" not in raw[: found.start()] and b"}" not in raw[: found.start()]:
                raise ApiError(400, "the body is not valid JSON: it is nested too deeply")
            raise too_complex(f"the body has more than {MOST_NODES} objects and arrays; send a shorter one")


def nodes_of(value: Any) -> Iterator[Mapping[str, Any] | list[Any]]:
    """All objects and arrays of a value. Without recursion: a body may be nested deeper than Python's stack."""
    left: list[Any] = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(value for value in node.values() if isinstance(value, dict | list))
        elif isinstance(node, list):
            yield node
            left.extend(value for value in node if isinstance(value, dict | list))
