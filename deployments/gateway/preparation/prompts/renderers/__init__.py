"""From a body to token ids, as the engine itself will render it: one file for each way of rendering."""

from deployments.gateway.preparation.prompts.renderers.base import Rendered, Renderer, Unrendered
from deployments.gateway.preparation.prompts.renderers.registry import RENDERERS, load_renderer

__all__ = ["RENDERERS", "Rendered", "Renderer", "Unrendered", "load_renderer"]
