"""A checkpoint's chat template, and whether it takes a message's content as a list of parts or as one text.

vLLM reads that off the template's syntax tree. Here the template is asked: where both forms give the same prompt there
is nothing to decide, where it can take only one that one is meant, and in the rare rest nothing is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.gateway.preparation.prompts.renderers.base import Unrendered

LOOPS_OVER_CONTENT = re.compile(r"{%-?\s*for\s+\w+\s+in\s+\w+(?:\.content|\[\s*['\"]content['\"]\s*\])\s*-?%}")
PROBE = "pR0be"


class ChatTemplate:
    """Turns go in with content as a list of `{"type": "text", "text": ...}` and `{"type": "image"}`."""

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        from transformers.utils.chat_template_utils import render_jinja_template  # a second, which others need not wait

        self._render = render_jinja_template
        self._source = source
        self._special_tokens = dict(special_tokens)
        self._takes_parts = self._shows_probe([{"type": "text", "text": PROBE}])
        self._takes_text = self._shows_probe(PROBE)
        self._loops = LOOPS_OVER_CONTENT.search(source) is not None

    def mentions(self, *names: str) -> bool:
        return any(name in self._source for name in names)

    def render(
        self,
        turns: Sequence[Mapping[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt's text. Raises Unrendered where it is not sure which, jinja2.TemplateError where the template
        refuses the turns."""
        further = {**self._special_tokens, **(variables or {})}
        if self._takes_parts and self._loops:
            return self._rendered(turns, tools, further)
        as_text = [{**turn, "content": _text(turn["content"])} for turn in turns]
        if not self._takes_parts:
            return self._rendered(as_text, tools, further)
        text = self._rendered(turns, tools, further)
        if self._takes_text and text != self._rendered(as_text, tools, further):
            raise Unrendered("the template takes content in two ways")
        return text

    def _rendered(
        self,
        turns: Sequence[Mapping[str, Any]],
        tools: list[dict[str, Any]] | None,
        variables: Mapping[str, Any],
    ) -> str:
        made, _ = self._render(
            [list(turns)], tools=tools, chat_template=self._source, add_generation_prompt=True, **variables
        )
        text: str = made[0]
        return text

    def _shows_probe(self, content: Any) -> bool:
        try:
            text = self._rendered([{"role": "user", "content": content}], None, self._special_tokens)
        except Exception:  # a template may refuse in any way
            return False
        return PROBE in text and "'type'" not in text


def _text(content: Any) -> str:
    """Raises Unrendered for pictures, which each model family has at places of its own."""
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        raise Unrendered("the template takes pictures in a way of its own")
    return "\n".join(part["text"] for part in content)
