"""Chats through the checkpoint's Jinja template, as vLLM's Hugging Face renderer does it; completions as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.gateway.preparation.prompts.checkpoint import Checkpoint
from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.pictures import picture_tokens
from deployments.gateway.preparation.prompts.renderers.base import (
    Expansion,
    Rendered,
    Unrendered,
    completion,
    refuse_unsure,
)
from deployments.gateway.preparation.prompts.renderers.chat_template import ChatTemplate
from deployments.gateway.preparation.prompts.renderers.template_turns import is_plain, tool_schemas, turns_of
from deployments.gateway.preparation.prompts.tokens import Tokens
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Prompt

NOT_OF_A_TEMPLATE = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "max_length",
    "messages",
    "padding",
    "processor_kwargs",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "tokenize",
    "tokenizer_kwargs",
    "tools",
    "truncation",
}
"""Names in `chat_template_kwargs` that are transformers' own, and no variable of a template."""


class TemplateRenderer:
    """Implements `deployments.gateway.preparation.prompts.renderers.Renderer`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tokens = Tokens(checkpoint.tokenizer)
        self._rule = picture_tokens(checkpoint.config, checkpoint.processor)
        source = checkpoint.template
        self._template = ChatTemplate(source, checkpoint.special_tokens) if source is not None else None

    def tokenise(self, text: str) -> int:
        return len(self._tokens.encode(text))

    def render(self, form: PromptForm, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        if form is PromptForm.PROMPT:
            return completion(self._tokens, body)
        if form is not PromptForm.MESSAGES:
            raise Unrendered("responses are not rendered with a template")
        template = self._template
        if template is None:
            raise Unrendered("the checkpoint has no chat template, or several")
        refuse_unsure(body, but="chat_template_kwargs")
        if body.get("add_special_tokens") not in (None, False):
            raise Unrendered("`add_special_tokens` is set")
        turns = turns_of(body["messages"], template.mentions('"developer"', "'developer'"))
        tools, variables = tool_schemas(body.get("tools")), _variables(body)
        text = template.render(turns, tools, variables)
        expansion = Expansion.of(self._tokens.encode(text), pictures, self._rule)
        prompt = Prompt(expansion.token_ids, tuple(expansion.media))
        plain = is_plain(turns) and not (tools and template.mentions("tools")) and not template.mentions(*variables)
        return Rendered(prompt, whole=expansion.whole, exact=plain)


def _variables(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the client sets of the template's variables. Raises Unrendered."""
    variables = dict(body.get("chat_template_kwargs") or {})
    if variables.keys() & NOT_OF_A_TEMPLATE:
        raise Unrendered("`chat_template_kwargs` names what is no variable of a template")
    effort = body.get("reasoning_effort")
    if effort is not None:
        variables.setdefault("enable_thinking", effort != "none")
        variables["reasoning_effort"] = effort
    return variables
