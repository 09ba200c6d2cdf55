"""Tokenizing and its reverse, by the engine's own tokenizer."""

from __future__ import annotations

from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.readers import read_json_body

ROUTES = (
    model_route("/tokenize", "Token ids of a prompt or of messages", TEXT, read_json_body, None),
    model_route("/detokenize", "Text of token ids", TEXT, read_json_body, None),
)
