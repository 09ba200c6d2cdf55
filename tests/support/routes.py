"""What the gateway's routes say of their bodies, by their paths."""

from __future__ import annotations

from deployments.gateway.api import MODEL_ROUTES
from deployments.gateway.request.route_bodies import PromptForm, RouteBodies

BODIES = {route.path: route.bodies for route in MODEL_ROUTES}
FIELDS = {path: bodies.fields for path, bodies in BODIES.items()}


def bodies_of(path: str) -> RouteBodies:
    """Of a path that is no route: bodies for which nothing is computed."""
    return BODIES.get(path) or RouteBodies(path=path)


def prompt_of(path: str) -> PromptForm:
    form = BODIES[path].prompt
    assert form
    return form
