"""Prompts as the gateway makes them, without a gateway."""

from __future__ import annotations

from typing import Any

from deployments.gateway.preparation.prompts import Prepared, Prompts, prepare_prompt
from deployments.gateway.preparation.prompts.renderers import Renderer
from deployments.routing.work import estimated_tokens
from tests.support.routes import bodies_of


def prepare(
    prompts: Prompts,
    route: str,
    body: dict[str, Any],
    raw: bytes,
    renderer: str,
    checkpoint: str,
    salt: str,
    revision: str | None = None,
    pass_ids: bool = True,
) -> Prepared:
    """As `prepare_prompt`, with a renderer that `prompts` has loaded."""
    form = bodies_of(route).prompt

    def find() -> Renderer:
        return prompts.find(renderer, checkpoint, revision)

    return prepare_prompt(form, body, raw, find, salt, estimated_tokens(body), pass_ids=pass_ids)
