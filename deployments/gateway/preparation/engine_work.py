"""How long a body would occupy an engine's API server, whose one event loop reads and tokenises everyone's.

Measured with vLLM's request models and the embedded checkpoints' tokenizers (docs/decisions.md): what stays within
these limits occupies it for less than a second.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deployments.gateway.errors import ApiError
from deployments.gateway.media import is_data
from deployments.gateway.prompts.renderers import Renderer
from deployments.gateway.prompts.renderers.base import RESPONSES

MOST_NODES = 30_000
"""Objects and arrays in a body. vLLM's request models take up to 16 us for each."""

MOST_INPUT_ITEMS = 800
"""Items of a response's `input`. vLLM's request models take 1 ms for each that is malformed."""

TOKENISE_S = 0.3
"""Seconds of CPU for the texts that an engine tokenises again, which takes it up to three times as long."""

TEXT_OR_NODE = re.compile(rb'"(?>[^"\\]+|\\.?)*+"?|[\[{]', re.DOTALL)
"""A text of JSON, also one that does not end, or the beginning of an object or array. It never goes back."""

QUOTE = ord('"')

PROMPT_FIELDS = ("messages", "prompt", "input", "instructions", "tools")


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
            raise _too_complex(f"the body has more than {MOST_NODES} objects and arrays; send a shorter one")


def check_items(route: str, body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 where an engine's request models would take too long to read a response's input."""
    items = body.get("input")
    if route == RESPONSES and isinstance(items, list) and len(items) > MOST_INPUT_ITEMS:
        raise _too_complex(f"`input` has {len(items)} items; send at most {MOST_INPUT_ITEMS}")


def tokenise_as_engines_do(renderer: Renderer, body: Mapping[str, Any]) -> None:
    """Tokenises the texts of a prompt. Kills this process at `TOKENISE_S`: the tokenizers look for no signal."""
    with _killed_at_the_limit():
        for text in _texts(body):
            renderer.tokenise(text)


@contextmanager
def _killed_at_the_limit() -> Iterator[None]:
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_VIRTUAL, TOKENISE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _nodes(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | list[Any]]:
    """All objects and arrays. Without recursion: a body may be nested deeper than Python's stack."""
    left: list[Any] = [body]
    while left:
        node = left.pop()
        yield node
        values = node.values() if isinstance(node, Mapping) else node
        left.extend(value for value in values if isinstance(value, Mapping | list))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a prompt, media left out."""
    for node in _nodes({name: body[name] for name in PROMPT_FIELDS if name in body}):
        for value in node.values() if isinstance(node, Mapping) else node:
            if isinstance(value, str) and not is_data(value):
                yield value


def _too_complex(reason: str) -> ApiError:
    return ApiError(400, f"{reason}; its engine would stand still for all others", code="body_too_complex")
