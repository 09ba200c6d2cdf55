"""Name of a renderer -> how it is made of a checkpoint. Each `ReplicaInfo` names the one of its engine."""

from __future__ import annotations

from collections.abc import Callable

from deployments.gateway.preparation.prompts.checkpoint import Checkpoint, read
from deployments.gateway.preparation.prompts.renderers.base import Renderer
from deployments.gateway.preparation.prompts.renderers.fake import FakeRenderer
from deployments.gateway.preparation.prompts.renderers.harmony import HarmonyRenderer
from deployments.gateway.preparation.prompts.renderers.template import TemplateRenderer
from deployments.gateway.preparation.prompts.renderers.text import TextRenderer

Make = Callable[[str, str | None], Renderer]


def _read(make: Callable[[Checkpoint], Renderer]) -> Make:
    return lambda checkpoint, revision: make(read(checkpoint, revision))


RENDERERS: dict[str, Make] = {
    "template": _read(TemplateRenderer),
    "harmony": _read(HarmonyRenderer),
    "fake": lambda checkpoint, revision: FakeRenderer(),
    "text": lambda checkpoint, revision: TextRenderer(),
}


def load_renderer(name: str, checkpoint: str, revision: str | None = None) -> Renderer:
    """Blocks for seconds. Raises KeyError for an unknown name, CheckpointUnreadable where it cannot be made."""
    return RENDERERS[name](checkpoint, revision)
