"""The fake engine's rendering: its own modules, asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deployments.engine.fake.prompts import IMAGE_TOKENS, chat_prompt, completion_prompts
from deployments.engine.fake.requests import Message
from deployments.engine.fake.tokenizer import encode
from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.renderers.base import (
    Rendered,
    Unrendered,
    completion_text,
    refuse_unsure,
)
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Media, Prompt


class FakeRenderer:
    """Implements `deployments.gateway.preparation.prompts.renderers.Renderer`."""

    def tokenise(self, text: str) -> int:
        return len(encode(text))

    def render(self, form: PromptForm, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        if form is PromptForm.PROMPT:
            return Rendered(Prompt(completion_prompts([completion_text(body)])[0].token_ids), exact=True)
        if form is PromptForm.MESSAGES:
            refuse_unsure(body)
            turns = body["messages"]
        elif form is PromptForm.INPUT and isinstance(body["input"], str):
            instructions = body.get("instructions")
            turns = [{"role": "system", "content": instructions}] if instructions else []
            turns = [*turns, {"role": "user", "content": body["input"]}]
        else:
            raise Unrendered("a list of input items")
        made = chat_prompt(msgspec.convert(turns, list[Message]), takes_images=True)
        media = tuple(Media(start, IMAGE_TOKENS, identity) for start, identity in made.images)
        return Rendered(Prompt(made.token_ids, media), exact=form is PromptForm.MESSAGES and not media)
