"""Chats through the checkpoint's Jinja template, as vLLM's Hugging Face renderer does it; completions as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.gateway.prompts.checkpoint import Checkpoint
from deployments.gateway.prompts.media import Picture
from deployments.gateway.prompts.pictures import picture_tokens
from deployments.gateway.prompts.renderers.base import (
    CHAT,
    COMPLETIONS,
    Expansion,
    Rendered,
    Unrendered,
    completion,
    plain_text,
    refuse_unsure,
)
from deployments.gateway.prompts.renderers.chat_template import ChatTemplate
from deployments.gateway.prompts.tokens import Tokens
from deployments.routing.prompt import Prompt

ROLES = ("system", "user", "assistant")
MESSAGE_KEYS = {"role", "content", "name"}
PICTURE_KEYS = {"type", "image_url", "uuid"}
SKIPPED_HEADER = "x-anthropic-billing-header"
"""vLLM drops a system text that begins like this."""


class TemplateRenderer:
    """Implements `deployments.gateway.prompts.renderers.Renderer`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tokens = Tokens(checkpoint.tokenizer)
        self._rule = picture_tokens(checkpoint.config, checkpoint.processor)
        source = checkpoint.template
        self._template = ChatTemplate(source, checkpoint.special_tokens) if source is not None else None

    def render(self, route: str, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        if route == COMPLETIONS:
            return completion(self._tokens, body)
        if route != CHAT:
            raise Unrendered(f"{route} is not rendered with a template")
        if self._template is None:
            raise Unrendered("the checkpoint has no chat template, or several")
        refuse_unsure(body)
        self._refuse_what_the_template_may_use(body, self._template)
        turns = [_turn(message) for message in body["messages"]]
        if not turns:
            raise Unrendered("no messages")
        expansion = Expansion.of(self._tokens.encode(self._template.render(turns)), pictures, self._rule)
        prompt = Prompt(expansion.token_ids, tuple(expansion.media))
        return Rendered(prompt, whole=expansion.whole, exact=not pictures)

    def _refuse_what_the_template_may_use(self, body: Mapping[str, Any], template: ChatTemplate) -> None:
        if body.get("add_special_tokens") not in (None, False):
            raise Unrendered("`add_special_tokens` is set")
        if body.get("tools") and template.mentions("tools"):
            raise Unrendered("tools are rendered by the template")
        if body.get("reasoning_effort") and template.mentions("reasoning_effort", "enable_thinking"):
            raise Unrendered("`reasoning_effort` is rendered by the template")


def _turn(message: Any) -> dict[str, Any]:
    """A message as vLLM hands it to a template whose content is a list of parts. Raises Unrendered."""
    if message["role"] not in ROLES or not message.keys() <= MESSAGE_KEYS:
        raise Unrendered("a message with tool calls, reasoning or a role of its own")
    content = message.get("content")
    parts = [content] if isinstance(content, str) else content or []
    turn = {"role": message["role"], "content": [_part(part) for part in parts]}
    if turn["role"] == "system" and any(p.get("text", "").startswith(SKIPPED_HEADER) for p in turn["content"]):
        raise Unrendered("a system text that the engine shortens")
    if isinstance(message.get("name"), str):
        turn["name"] = message["name"]
    return turn


def _part(part: Any) -> dict[str, Any]:
    text = plain_text(part)
    if text is not None:
        return {"type": "text", "text": text}
    if isinstance(part, dict) and part.keys() <= PICTURE_KEYS and part.get("type") == "image_url":
        return {"type": "image"}
    raise Unrendered("a content part that is neither text nor a picture")
