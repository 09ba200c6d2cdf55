"""Prompts as the gateway makes them, without a gateway."""

from __future__ import annotations

from typing import Any

from deployments.gateway.preparation.prompts import Prepared, Prompts, prepare_prompt


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
    return prepare_prompt(route, body, raw, lambda: prompts.find(renderer, checkpoint, revision, route), salt, pass_ids)
