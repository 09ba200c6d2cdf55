"""Chat completions."""

from __future__ import annotations

from deployments.gateway.admission.limits import Unit
from deployments.gateway.api.openapi.operation import JSON, Body, Operation, streamed
from deployments.gateway.api.openapi.schemas import (
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    TEXT_OR_NULL,
    array,
    completion,
    described,
    one_of,
    record,
)
from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.bodies.readers import read_json_body

PART = record({"type": described(STRING, "text, image_url, input_audio, ...")}, {"text": STRING, "image_url": OBJECT})
MESSAGE = record(
    {"role": one_of("system", "developer", "user", "assistant", "tool")},
    {"content": {"anyOf": [STRING, array(PART), {"type": "null"}]}, "tool_calls": array(OBJECT)},
)
MESSAGES = described(array(MESSAGE, minItems=1), "The conversation so far. Pictures are parts of a message's content.")
EXAMPLE = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64}

CHOICE = record(
    {
        "index": INTEGER,
        "message": record({"role": STRING}, {"content": TEXT_OR_NULL, "reasoning": TEXT_OR_NULL}),
        "finish_reason": TEXT_OR_NULL,
    }
)
COMPLETION = completion("chat.completion", CHOICE)

ROUTES = (
    model_route(
        "/v1/chat/completions",
        "Chat completion, whole or as a stream",
        TEXT,
        read_json_body,
        Unit.TOKENS,
        Operation(
            {JSON: COMPLETION, **streamed("a `chat.completion.chunk`. `[DONE]` is the end.")},
            Body({"messages": MESSAGES, "logprobs": BOOLEAN}, required=("messages",), example=EXAMPLE),
        ),
    ),
)
