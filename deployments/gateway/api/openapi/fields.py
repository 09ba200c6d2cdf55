"""JSON schemas of the request fields that engines take, by name. A field without one may have any value.

`tests/e2e/test_vllm_contract.py` compares their types with vLLM's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.gateway.api.openapi.operation import Body
from deployments.gateway.api.openapi.schemas import (
    BOOLEAN,
    COUNT,
    INTEGER,
    MODEL,
    NUMBER,
    OBJECT,
    STRING,
    Schema,
    array,
    described,
    one_of,
)

PENALTY: Schema = {"type": "number", "minimum": -2, "maximum": 2}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
AT_LEAST_ONE: Schema = {"type": "integer", "minimum": 1}
LOGPROBS: Schema = {"type": "integer", "minimum": 0}

BY_SCHEMA: tuple[tuple[Schema, str], ...] = (
    (
        BOOLEAN,
        """
        add_generation_prompt add_special_tokens background continue_final_message echo enable_response_messages
        ignore_eos include_reasoning include_stop_str_in_output parallel_tool_calls return_prompt_text return_token_ids
        return_token_offsets return_token_strs return_tokens_as_token_ids skip_special_tokens
        spaces_between_special_tokens store stream_continuous_usage_stats stream_include_usage use_beam_search
        watermarking
        """,
    ),
    (AT_LEAST_ONE, "max_completion_tokens max_output_tokens max_tokens max_tool_calls stream_interval"),
    (COUNT, "min_tokens routed_experts_prompt_start thinking_token_budget"),
    (LOGPROBS, "prompt_logprobs top_logprobs"),
    (INTEGER, "seed top_k truncate_prompt_tokens"),
    (NUMBER, "length_penalty repetition_penalty"),
    (SHARE, "min_p top_p"),
    (PENALTY, "frequency_penalty presence_penalty"),
    (
        STRING,
        "chat_template hotwords instructions language previous_response_id prompt_cache_key suffix to_language user",
    ),
    (OBJECT, "chat_template_kwargs media_io_kwargs mm_processor_kwargs reasoning repetition_detection text"),
    (array(COUNT), "allowed_token_ids logprob_token_ids stop_token_ids"),
    (array(STRING), "bad_words include"),
    (array(OBJECT), "documents tools"),
)

SCHEMAS: dict[str, Schema] = {
    **{name: schema for schema, names in BY_SCHEMA for name in names.split()},
    "model": MODEL,
    "stream": described(BOOLEAN, "Answer with server-sent events, as tokens are made."),
    "stream_options": {
        "type": "object",
        "properties": {"include_usage": BOOLEAN, "continuous_usage_stats": BOOLEAN},
        "description": "With `include_usage` the last event before the end holds the usage.",
    },
    "temperature": {"type": "number", "minimum": 0, "description": "0 takes the likeliest token."},
    "n": {"type": "integer", "minimum": 1, "description": "Answers; each counts as a request of its own."},
    "cache_salt": {
        "type": "string",
        "minLength": 1,
        "maxLength": 1024,
        "description": "Cached prefixes are shared by your requests with the same word alone. Never with others'.",
    },
    "stop": {"anyOf": [STRING, array(STRING, maxItems=4)], "description": "Texts that end the answer."},
    "logit_bias": {"type": "object", "additionalProperties": NUMBER},
    "structured_outputs": described(OBJECT, "One of `json`, `regex`, `choice`, `grammar`, ... that the answer fits."),
    "metadata": {"type": "object", "additionalProperties": STRING},
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "service_tier": one_of("auto", "default", "flex", "scale", "priority"),
    "truncation": one_of("auto", "disabled"),
    "truncation_side": one_of("left", "right"),
    "tool_choice": {"anyOf": [one_of("none", "auto", "required"), OBJECT]},
    "response_format": described(OBJECT, "`{type: json_schema, json_schema: ...}` and its kin."),
}


def body_schema(allowed: frozenset[str], body: Body, refuses_unknown: bool) -> dict[str, Any]:
    """The schema of a route's body: the fields that its requests may have here, and no others. `model` comes first."""
    own: Mapping[str, Schema] = body.fields
    names = sorted(allowed, key=lambda name: (name != "model", name not in body.required, name))
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["model", *body.required],
        "properties": {name: own.get(name, SCHEMAS.get(name, {})) for name in names},
    }
    if body.any_of:
        schema["anyOf"] = [{"required": [name]} for name in body.any_of]
    if refuses_unknown:
        schema["additionalProperties"] = False
    return schema
