"""What the description says of one route, beside what the route itself tells: its body, parameters and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.gateway.api.openapi.schemas import Schema

JSON, FORM, EVENTS, TEXT = "application/json", "multipart/form-data", "text/event-stream", "text/plain"


@dataclass(frozen=True, eq=False)
class Body:
    """What a client sends. Which fields there are is said by `deployments.gateway.request.fields` alone.

    Attributes:
        fields: schemas of fields that mean something else on other routes, or are this route's own.
        required: fields beside `model`.
        any_of: fields of which one must be there.
        example: a whole body but for `model`.
        form: whether it is a multipart form with a file.
    """

    fields: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    form: bool = False


@dataclass(frozen=True)
class Parameter:
    """A parameter of the path or of the query."""

    name: str
    place: str
    schema: Schema
    description: str


@dataclass(frozen=True, eq=False)
class Operation:
    """Attributes:
    answers: media type -> schema of an answer with status 200; none where it has no body.
    headers: of such an answer, beside those that all have.
    notes: what the summary leaves out.
    statuses: further answers of this route: status -> schema of its JSON body, or None for the error object.
    """

    answers: Mapping[str, Schema] = field(default_factory=dict)
    body: Body | None = None
    parameters: tuple[Parameter, ...] = ()
    statuses: Mapping[int, Schema | None] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    notes: str = ""


def streamed(data: str) -> dict[str, Schema]:
    """The answer of a route as server-sent events. `data` says what each of them holds.

    Before version 3.2 OpenAPI has no word for streams: the schema is that of an event.
    """
    description = f"With `stream: true`: events whose `data` is {data}"
    event = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
    return {EVENTS: {**event, "description": description}}
