"""Which statuses a route can answer with, and what each of them means."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.fleet import Fleet
from deployments.gateway.api.route import Access, ModelRoute, Route


@dataclass(frozen=True)
class Status:
    """An error status. `codes`: words that `error.code` may have. `headers`: those that such an answer may have."""

    title: str
    codes: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        words = ", ".join(f"`{code}`" for code in self.codes)
        return f"{self.title}. `error.code`: {words}." if words else f"{self.title}."


OWN: dict[int, Status] = {
    400: Status("The request cannot be read", ("malformed_http",)),
    401: Status("No key, or an unknown one", ("invalid_api_key",), ("WWW-Authenticate",)),
    404: Status("No such model", ("model_not_found",)),
    500: Status("The gateway failed", ("internal",)),
    503: Status("The gateway has too many connections", ("overloaded",), ("Retry-After",)),
}
"""Errors of the routes that the gateway answers itself."""

OF_MODELS: dict[int, Status] = {
    400: Status(
        "The request cannot be read, or the engine refuses it",
        (
            *("malformed_http", "unknown_field", "body_too_complex", "invalid_encoding"),
            *("media_invalid", "media_missing", "media_not_allowed", "media_not_fetched"),
        ),
    ),
    401: OWN[401],
    404: Status(
        "No such model, or it does not offer this route", ("model_not_found", "route_not_offered", "not_found")
    ),
    408: Status("The body did not come in time"),
    413: Status("The body is too large", ("request_too_large",)),
    415: Status("The body is compressed in a way that is not read", ("unsupported_encoding",), ("Accept-Encoding",)),
    422: Status("The engine refuses a value of the body"),
    429: Status(
        "A limit of yours is used up, or the model's queue is full",
        ("rate_limit_exceeded",),
        ("Retry-After", "retry-after-ms", "x-should-retry"),
    ),
    500: Status("The gateway or an engine failed", ("internal", "engines_died"), ("x-should-retry",)),
    501: Status("The engine does not offer this"),
    502: Status(
        "The engine's answer is too large, or a server between gateway and engine failed",
        ("answer_too_large",),
        ("x-should-retry",),
    ),
    503: Status(
        "There is no room, or no replica", ("overloaded", "draining", "no_replica", "replicas_failed"), ("Retry-After",)
    ),
    504: Status(
        "The answer took too long, or the request's deadline passed",
        ("timeout", "deadline_exceeded"),
        ("x-should-retry",),
    ),
}
"""Errors of routes that a replica answers. 422 and 501 are engines' alone: their errors keep their status."""

EVERYWHERE = (400, 500, 503)
"""Malformed HTTP, a failure of the gateway itself, and too many connections."""


def needs_key(route: Route, fleet: Fleet) -> bool:
    """Whether nobody may ask for the route without a key."""
    if route.access is Access.OPERATOR:
        return bool(fleet.operators)
    return route.access is not Access.PUBLIC and bool(fleet.tenants)


def errors_of(route: Route, fleet: Fleet) -> dict[int, Status]:
    """The errors that a route may answer with, but for those that have a form of their own there."""
    own = route.operation.statuses
    if isinstance(route, ModelRoute):
        statuses = set(OF_MODELS) - {401}
        if fleet.mlperf:
            statuses.discard(429)  # such a fleet refuses no load
    else:
        statuses = {*EVERYWHERE, *(status for status, schema in own.items() if schema is None)}
    if needs_key(route, fleet):
        statuses.add(401)
    known = OF_MODELS if isinstance(route, ModelRoute) else OWN
    return {status: known[status] for status in sorted(statuses) if own.get(status) is None}


def component_name(status: int, about: Status) -> str:
    """How the description refers to an error."""
    return str(status) if OWN.get(status) is about else f"{status}-of-models"
