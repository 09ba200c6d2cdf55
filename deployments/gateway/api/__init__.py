"""The HTTP routes, one file a family. `ROUTES` is all of them."""

from deployments.gateway.api import (
    audio,
    chat,
    completions,
    description,
    fleet,
    health,
    models,
    operator,
    responses,
    tokens,
)
from deployments.gateway.api.route import Access, ModelRoute, Route

MODEL_ROUTES: tuple[ModelRoute, ...] = (
    *chat.ROUTES,
    *completions.ROUTES,
    *responses.ROUTES,
    *tokens.ROUTES,
    *audio.ROUTES,
)
"""Routes that a replica of the model in the body answers."""

ROUTES: tuple[Route, ...] = (
    *MODEL_ROUTES,
    *models.ROUTES,
    *health.ROUTES,
    *fleet.ROUTES,
    *operator.ROUTES,
    *description.ROUTES,
)

__all__ = ["MODEL_ROUTES", "ROUTES", "Access", "ModelRoute", "Route"]
