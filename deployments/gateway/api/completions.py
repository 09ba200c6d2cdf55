"""Text completions."""

from __future__ import annotations

from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.limits import Unit
from deployments.gateway.preparation.readers import read_json_body

ROUTES = (
    model_route("/v1/completions", "Completion of a prompt, whole or as a stream", TEXT, read_json_body, Unit.TOKENS),
)
