"""Tokenizing and its reverse, by the engine's own tokenizer."""

from __future__ import annotations

from deployments.gateway.api.chat import MESSAGES
from deployments.gateway.api.openapi.operation import JSON, Body, Operation
from deployments.gateway.api.openapi.schemas import COUNT, STRING, array, record
from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.bodies.readers import read_json_body
from deployments.gateway.request.fields import names
from deployments.gateway.request.route_bodies import RouteBodies

TOKENS = record(
    {"count": COUNT, "max_model_len": COUNT, "tokens": array(COUNT)},
    {"token_strs": {"type": ["array", "null"], "items": STRING}},
)

TOKENIZE = RouteBodies(
    path="/tokenize",
    fields=names("""
        add_generation_prompt add_special_tokens chat_template chat_template_kwargs continue_final_message
        media_io_kwargs messages mm_processor_kwargs model prompt return_token_strs tools
        """),
)
DETOKENIZE = RouteBodies(path="/detokenize", fields=names("model tokens"))

ROUTES = (
    model_route(
        TOKENIZE,
        "Token ids of a prompt or of messages",
        TEXT,
        read_json_body,
        Operation(
            {JSON: TOKENS},
            Body({"prompt": STRING, "messages": MESSAGES}, any_of=("prompt", "messages"), example={"prompt": "Hello"}),
        ),
    ),
    model_route(
        DETOKENIZE,
        "Text of token ids",
        TEXT,
        read_json_body,
        Operation(
            {JSON: record({"prompt": STRING})},
            Body({"tokens": array(COUNT)}, required=("tokens",), example={"tokens": [1, 2, 3]}),
        ),
    ),
)
