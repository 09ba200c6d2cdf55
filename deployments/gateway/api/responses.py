"""Responses."""

from __future__ import annotations

from deployments.gateway.admission.limits import Unit
from deployments.gateway.api.openapi.operation import JSON, Body, Operation, streamed
from deployments.gateway.api.openapi.schemas import COUNT, NUMBER, OBJECT, STRING, array, described, one_of, record
from deployments.gateway.api.route import TEXT, model_route
from deployments.gateway.preparation.bodies.readers import read_json_body
from deployments.gateway.request.fields import SAMPLING, names
from deployments.gateway.request.route_bodies import PromptForm, RouteBodies

INPUT = {"anyOf": [STRING, array(OBJECT, minItems=1)], "description": "A text, or the items of a conversation."}
USAGE = {
    "type": ["object", "null"],
    "properties": {"input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT},
}
RESPONSE = record(
    {
        "id": STRING,
        "object": {"const": "response"},
        "created_at": NUMBER,
        "model": STRING,
        "status": one_of("completed", "failed", "in_progress", "cancelled", "queued", "incomplete"),
        "output": array(OBJECT),
    },
    {"usage": USAGE},
)

BODIES = RouteBodies(
    path="/v1/responses",
    unit=Unit.TOKENS,
    fields=SAMPLING
    | names("""
        background chat_template_kwargs enable_response_messages include include_reasoning input instructions
        max_output_tokens max_tool_calls media_io_kwargs metadata mm_processor_kwargs parallel_tool_calls
        previous_input_messages previous_response_id prompt prompt_cache_key reasoning service_tier store text
        tool_choice tools top_logprobs truncation
        """),
    prompt=PromptForm.INPUT,
)

ROUTES = (
    model_route(
        BODIES,
        "Response to an input, whole or as a stream",
        TEXT,
        read_json_body,
        Operation(
            {
                JSON: RESPONSE,
                **streamed("an object that names its `type`. The last is `response.completed` or its like."),
            },
            Body(
                {"input": INPUT, "prompt": described(OBJECT, "A stored prompt, which engines here have none of.")},
                required=("input",),
                example={"input": "Hello", "max_output_tokens": 64},
            ),
        ),
    ),
)
