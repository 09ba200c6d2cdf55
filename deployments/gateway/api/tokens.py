"""Tokenizing and its reverse, by the engine's own tokenizer."""

from __future__ import annotations

from deployments.gateway.api.chat import MESSAGES
from deployments.gateway.api.openapi.operation import JSON, Body, Operation
from deployments.gateway.api.openapi.schemas import COUNT, STRING, array, record
from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.bodies.readers import read_json_body

TOKENS = record(
    {"count": COUNT, "max_model_len": COUNT, "tokens": array(COUNT)},
    {"token_strs": {"type": ["array", "null"], "items": STRING}},
)

ROUTES = (
    model_route(
        "/tokenize",
        "Token ids of a prompt or of messages",
        TEXT,
        read_json_body,
        None,
        Operation(
            {JSON: TOKENS},
            Body({"prompt": STRING, "messages": MESSAGES}, any_of=("prompt", "messages"), example={"prompt": "Hello"}),
        ),
    ),
    model_route(
        "/detokenize",
        "Text of token ids",
        TEXT,
        read_json_body,
        None,
        Operation(
            {JSON: record({"prompt": STRING})},
            Body({"tokens": array(COUNT)}, required=("tokens",), example={"tokens": [1, 2, 3]}),
        ),
    ),
)
