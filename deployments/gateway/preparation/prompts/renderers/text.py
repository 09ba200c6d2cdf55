"""Prompts by their text alone, for servers whose tokenizer is not on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.renderers.base import (
    Rendered,
    Unrendered,
    completion_text,
    refuse_unsure,
    text_parts,
)
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Prompt

BYTES_PER_TOKEN = 4
"""About what tokenizers make of English text. A stand-in token is as many bytes, taken as one number."""

MESSAGE_END = "\0"
"""Between a role, a text and the next message, so that what is said does not flow together."""


class TextRenderer:
    """Equal beginnings of texts have equal beginnings of tokens: enough to find the replica that had them last."""

    def tokenise(self, text: str) -> int:
        """0: the engine's tokenizer is not known, and its time cannot be judged here."""
        return 0

    def render(self, form: PromptForm, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        """Raises Unrendered for pictures and for anything but text."""
        if pictures:
            raise Unrendered("pictures are not counted without a tokenizer")
        if form is PromptForm.PROMPT:
            text = completion_text(body)
            return Rendered(Prompt(text if isinstance(text, list) else _tokens(text)))
        if form is PromptForm.MESSAGES:
            refuse_unsure(body)
            turns = body["messages"]
        else:
            turns = [{"role": "system", "content": body.get("instructions") or ""}, *_input(body["input"])]
        tools = msgspec.json.encode(body["tools"]).decode() if body.get("tools") else ""
        return Rendered(Prompt(_tokens(tools + MESSAGE_END + "".join(map(_message, turns)))))


def _input(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [{"role": "user", "content": given}]


def _message(turn: Any) -> str:
    parts = text_parts(turn.get("content"))
    if parts is None:
        raise Unrendered("a message has more than text")
    calls = msgspec.json.encode(turn["tool_calls"]).decode() if turn.get("tool_calls") else ""
    return f"{turn.get('role')}{MESSAGE_END}{''.join(parts)}{calls}{MESSAGE_END}"


def _tokens(text: str) -> list[int]:
    """The last ones are incomplete and left out, unless there is nothing else."""
    encoded = text.encode("utf-8", "surrogatepass")
    whole = len(encoded) - len(encoded) % BYTES_PER_TOKEN
    tokens: list[int] = np.frombuffer(encoded[:whole], "<u4").tolist()
    return tokens or [0]
