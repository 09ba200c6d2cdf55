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
from deployments.gateway.request.fields import GENERATION, names
from deployments.gateway.request.route_bodies import PromptForm, RouteBodies

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

BODIES = RouteBodies(
    path="/v1/chat/completions",
    unit=Unit.TOKENS,
    fields=GENERATION
    | names("""
        add_generation_prompt chat_template chat_template_kwargs continue_final_message documents
        include_reasoning max_completion_tokens media_io_kwargs messages mm_processor_kwargs parallel_tool_calls
        reasoning_effort return_prompt_text tool_choice tools top_logprobs
        """),
    prompt=PromptForm.MESSAGES,
    asks_for_usage=True,
    resumes=True,
)

ROUTES = (
    model_route(
        BODIES,
        "Chat completion, whole or as a stream",
        TEXT,
        read_json_body,
        Operation(
            {JSON: COMPLETION, **streamed("a `chat.completion.chunk`. `[DONE]` is the end.")},
            Body({"messages": MESSAGES, "logprobs": BOOLEAN}, required=("messages",), example=EXAMPLE),
        ),
    ),
)
