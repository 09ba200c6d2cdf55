"""Headers that clients may send and that answers may have."""

from __future__ import annotations

from typing import Any

from deployments.gateway.admission.limits import WORDS
from deployments.gateway.api.openapi.schemas import INTEGER, STRING, Schema, one_of
from deployments.gateway.errors.http_errors import ID, REQUEST_ID
from deployments.gateway.preparation.bodies.encoding import ENCODINGS
from deployments.gateway.request import headers as request_headers
from deployments.gateway.request.fields import HEADER as UNKNOWN_FIELDS
from deployments.gateway.request.headers import DEADLINE, DECIMAL, EXPLAIN, MOST_SESSION, PRIORITY, SESSION

SENT: dict[str, tuple[Schema, str]] = {
    REQUEST_ID: (
        {"type": "string", "pattern": f"^{ID.pattern}$"},
        "Your own id of the request. The answer repeats it; without one it has a new one.",
    ),
    DEADLINE: (
        {"type": "string", "pattern": f"^(?!0+(\\.0+)?$)({DECIMAL.pattern})$"},
        "Milliseconds within which work should begin. The gateway prefers replicas that can keep it, and answers 504 "
        "where it has passed.",
    ),
    SESSION: (
        {"type": "string", "minLength": 1, "maxLength": MOST_SESSION, "pattern": "^[ -~]+$"},
        "A word for one conversation: its requests go to the same replica, which has their prefix.",
    ),
    PRIORITY: (
        {"type": "string", "pattern": f"^{request_headers.INTEGER.pattern}$"},
        "An integer below your own priority makes a request less urgent. A higher one is cut to it.",
    ),
    EXPLAIN: (STRING, "Whatever it says, the answer's `x-routing` tells why that replica was chosen."),
    "content-encoding": (one_of("identity", *ENCODINGS), "How the body is compressed."),
    "traceparent": (STRING, "W3C trace context, passed on to the engine."),
    "tracestate": (STRING, "Of the same."),
}
"""Headers of requests to models: name -> schema, what it is for."""

RATE_LIMITS = {
    name: text
    for unit, words in WORDS.items()
    for name, text in (
        (f"x-ratelimit-limit-{unit}", f"Your {words} a minute."),
        (f"x-ratelimit-remaining-{unit}", f"Your {words} that are left now."),
        (f"x-ratelimit-reset-{unit}", "Time until all of them are there again, such as 1.5s."),
    )
}

ANSWER_HEADERS: dict[str, tuple[Schema, str]] = {
    REQUEST_ID: (STRING, "The request's id: name it when you ask about a request."),
    "x-replica": (STRING, "The replica that answered."),
    "x-pool": (STRING, "Its pool."),
    "x-vendor": (STRING, "The vendor of its hardware."),
    UNKNOWN_FIELDS: (STRING, "Fields of the body that were dropped, because the engine has none of these names."),
    "x-routing": (STRING, f"JSON: the decision of the router. For requests with `{EXPLAIN}`."),
    **{name: (STRING, text) for name, text in RATE_LIMITS.items()},
    "Retry-After": (INTEGER, "Seconds after which to try again."),
    "retry-after-ms": (INTEGER, "The same in milliseconds; OpenAI's SDKs prefer it."),
    "x-should-retry": (one_of("false"), "There where trying again is of no use; OpenAI's SDKs heed it."),
    "WWW-Authenticate": (STRING, "How to send a key."),
    "Allow": (STRING, "The methods that the path has."),
    "Accept-Encoding": (STRING, "Encodings of bodies that are read."),
    "ETag": (STRING, "Changes with the content."),
}
"""Headers of answers: name -> schema, what it says."""

OF_MODELS = ("x-replica", "x-pool", "x-vendor", UNKNOWN_FIELDS, "x-routing")


def parameters() -> list[dict[str, Any]]:
    """The request headers as parameters of a route that a model answers."""
    return [
        {"name": name, "in": "header", "required": False, "schema": schema, "description": text}
        for name, (schema, text) in SENT.items()
    ]


def component_name(header: str) -> str:
    """How the description refers to an answer's header."""
    return header.lower()


def references(*names: str) -> dict[str, dict[str, str]]:
    """These headers in an answer."""
    return {name: {"$ref": f"#/components/headers/{component_name(name)}"} for name in names}


def components() -> dict[str, dict[str, Any]]:
    """All headers of answers, by the name that the description refers to. Every answer has an id."""
    return {
        component_name(name): {"schema": schema, "description": text, "required": name == REQUEST_ID}
        for name, (schema, text) in ANSWER_HEADERS.items()
    }
