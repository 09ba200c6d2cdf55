"""Text completions."""

from __future__ import annotations

from deployments.gateway.admission.limits import Unit
from deployments.gateway.api.openapi.operation import JSON, Body, Operation, streamed
from deployments.gateway.api.openapi.schemas import (
    COUNT,
    INTEGER,
    STRING,
    TEXT_OR_NULL,
    array,
    completion,
    described,
    record,
)
from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.bodies.readers import read_json_body
from deployments.gateway.request.fields import GENERATION, names
from deployments.gateway.request.route_bodies import PromptForm, RouteBodies

WORDS = {"type": "string", "minLength": 1}
PROMPT = {
    "anyOf": [WORDS, array(WORDS, minItems=1), array(COUNT, minItems=1), array(array(COUNT, minItems=1), minItems=1)],
    "description": "A text or its token ids, or several of one kind.",
}
CHOICE = record({"index": INTEGER, "text": STRING, "finish_reason": TEXT_OR_NULL})
COMPLETION = completion("text_completion", CHOICE)

BODIES = RouteBodies(
    path="/v1/completions",
    unit=Unit.TOKENS,
    fields=GENERATION | names("prompt prompt_embeds suffix"),
    prompt=PromptForm.PROMPT,
    asks_for_usage=True,
    resumes=True,
)

ROUTES = (
    model_route(
        BODIES,
        "Completion of a prompt, whole or as a stream",
        TEXT,
        read_json_body,
        Operation(
            {JSON: COMPLETION, **streamed("a `text_completion`. `[DONE]` is the end.")},
            Body(
                {"prompt": PROMPT, "logprobs": described(COUNT, "Likeliest tokens to name at each place.")},
                required=("prompt",),
                example={"prompt": "Once upon a time", "max_tokens": 64},
            ),
        ),
    ),
)
