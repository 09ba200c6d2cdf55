"""JSON schemas that several routes share, and short ways to write others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
STRING: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}


def array(items: Schema, **limits: Any) -> Schema:
    return {"type": "array", "items": items, **limits}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def record(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these properties. It may have others: engines add their own."""
    return {"type": "object", "required": list(properties), "properties": {**properties, **(optional or {})}}


def described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


MODEL = described(
    {"type": "string", "minLength": 1, "maxLength": 1000}, "A name or alias of a model: GET /v1/models lists yours."
)

USAGE: Schema = record(
    {"prompt_tokens": COUNT, "total_tokens": COUNT},
    {
        "completion_tokens": COUNT_OR_NULL,
        "prompt_tokens_details": {"type": ["object", "null"], "properties": {"cached_tokens": COUNT_OR_NULL}},
    },
)


def completion(kind: str, choice: Schema) -> Schema:
    """OpenAI's answer object with choices of this schema. `kind`: what its field `object` says."""
    return record(
        {
            "id": STRING,
            "object": {"const": kind},
            "created": INTEGER,
            "model": STRING,
            "choices": array(choice),
            "usage": USAGE,
        }
    )


ERROR: Schema = record(
    {
        "error": {
            **record(
                {
                    "message": described(STRING, "What is wrong and what to do, for people."),
                    "type": one_of("invalid_request_error", "permission_error", "rate_limit_error", "server_error"),
                    "param": described(TEXT_OR_NULL, "The field or header at fault."),
                    "code": described(TEXT_OR_NULL, "A word that programs can test."),
                }
            ),
            "additionalProperties": False,
        }
    }
)
"""OpenAI's error object."""

COMPONENTS: dict[str, Schema] = {"Error": ERROR}
"""Schemas that the description refers to by name."""

ERROR_REFERENCE: Schema = {"$ref": "#/components/schemas/Error"}
