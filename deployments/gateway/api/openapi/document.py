"""The OpenAPI document of one fleet, as one kind of asker may see it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from cluster.fleet import Fleet, Limits, Task
from deployments.gateway.api.openapi import headers
from deployments.gateway.api.openapi.fields import body_schema
from deployments.gateway.api.openapi.operation import FORM, JSON, Body
from deployments.gateway.api.openapi.schemas import COMPONENTS, ERROR_REFERENCE, Schema
from deployments.gateway.api.openapi.statuses import Status, component_name, errors_of, needs_key
from deployments.gateway.api.route import Access, ModelRoute, Route
from deployments.gateway.errors.http_errors import REQUEST_ID

MODEL = "MODEL"
"""Stands for a model's name in examples. The document names no model: GET /v1/models does, for each who asks."""

PREAMBLE = """\
Every answer has an `x-request-id`. Every error is OpenAI's error object. Paths that are not here are answered with \
404, other methods with 405 and `Allow`; `HEAD` goes wherever `GET` goes.

A stream that fails after its first byte ends with an event whose data is the error object.
"""
TENANT, OPERATOR = "tenantKey", "operatorKey"


def offered(routes: Iterable[Route], tasks: Collection[Task], operator: bool, fleet: Fleet) -> list[Route]:
    """The routes that answer someone whose models have these tasks. Those of operators are for operators."""
    opens = bool(fleet.operators) or not fleet.tenants
    return [
        route
        for route in routes
        if (not isinstance(route, ModelRoute) or route.tasks & set(tasks))
        and (route.access is not Access.OPERATOR or (operator and opens))
    ]


def document(fleet: Fleet, routes: Iterable[Route], tasks: Collection[Task], operator: bool) -> dict[str, Any]:
    """`tasks`: of the models that the asker may use. `operator`: whether the asker may use the operators' routes."""
    paths: dict[str, dict[str, Any]] = {}
    errors: dict[str, dict[str, Any]] = {}
    for route in offered(routes, tasks, operator, fleet):
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, fleet)
        errors |= {component_name(*each): _error(*each) for each in errors_of(route, fleet).items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{fleet.name}: models behind one address", "version": "1", "description": PREAMBLE},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "headers": headers.components(),
            "responses": dict(sorted(errors.items())),
            "securitySchemes": _schemes(fleet),
        },
    }


def _operation(route: Route, fleet: Fleet) -> dict[str, Any]:
    about = route.operation
    parameters = [
        {
            "name": each.name,
            "in": each.place,
            "required": each.place == "path",
            "schema": each.schema,
            "description": each.description,
        }
        for each in about.parameters
    ]
    if isinstance(route, ModelRoute):
        parameters += headers.parameters()
    described: dict[str, Any] = {
        "tags": [_tag(route)],
        "summary": route.summary,
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "security": _security(route, fleet),
        "responses": {"200": _answer(route, fleet), **_errors(route, fleet)},
    }
    if about.notes:
        described["description"] = about.notes
    if parameters:
        described["parameters"] = parameters
    if isinstance(route, ModelRoute) and about.body:
        described["requestBody"] = _body(route.bodies.fields, about.body, fleet)
    return described


def _tag(route: Route) -> str:
    if isinstance(route, ModelRoute):
        return "Models"
    return {Access.PUBLIC: "Health and docs", Access.OPERATOR: "Operators"}.get(route.access, "Fleet")


def _body(allowed: frozenset[str], body: Body, fleet: Fleet) -> dict[str, Any]:
    refuses = fleet.gateway.unknown_fields == "refuse"
    content: dict[str, Any] = {"schema": body_schema(allowed, body, refuses)}
    if body.example:
        content["example"] = {"model": MODEL, **body.example}
    return {"required": True, "content": {FORM if body.form else JSON: content}}


def _answer(route: Route, fleet: Fleet) -> dict[str, Any]:
    names = [REQUEST_ID, *route.operation.headers]
    if isinstance(route, ModelRoute):
        names += headers.OF_MODELS
    if route.access is not Access.PUBLIC and any(tenant.limits != Limits() for tenant in fleet.tenants):
        names += headers.RATE_LIMITS
    answer: dict[str, Any] = {"description": route.summary, "headers": headers.references(*names)}
    if route.operation.answers:
        answer["content"] = {kind: {"schema": schema} for kind, schema in route.operation.answers.items()}
    return answer


def _errors(route: Route, fleet: Fleet) -> dict[str, Any]:
    answers: dict[int, dict[str, Any]] = {
        status: {"$ref": f"#/components/responses/{component_name(status, about)}"}
        for status, about in errors_of(route, fleet).items()
    }
    for status, schema in route.operation.statuses.items():
        if schema is not None:
            answers[status] = _own(status, schema)
    return {str(status): answers[status] for status in sorted(answers)}


def _own(status: int, schema: Schema) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": str(schema.get("description", status))}
    if schema.keys() != {"description"}:
        answer["content"] = {JSON: {"schema": schema}}
    return answer


def _error(status: int, about: Status) -> dict[str, Any]:
    names = about.headers if status == 503 else (REQUEST_ID, *about.headers)  # not where a connection is refused
    return {
        "description": about.description,
        "headers": headers.references(*names),
        "content": {JSON: {"schema": ERROR_REFERENCE}},
    }


def _security(route: Route, fleet: Fleet) -> list[dict[str, list[str]]]:
    """One of these is enough; {} is no key."""
    if route.access is Access.PUBLIC:
        return []
    kinds = {Access.TENANT: [TENANT], Access.OPERATOR: [OPERATOR]}.get(route.access, [TENANT, OPERATOR])
    there = {TENANT: bool(fleet.tenants), OPERATOR: bool(fleet.operators)}
    keys: list[dict[str, list[str]]] = [{kind: []} for kind in kinds if there[kind]]
    return keys if needs_key(route, fleet) or not keys else [{}, *keys]


def _schemes(fleet: Fleet) -> dict[str, Any]:
    schemes = {}
    if fleet.tenants:
        schemes[TENANT] = {"type": "http", "scheme": "bearer", "description": "A tenant's key, which opens models."}
    if fleet.operators:
        text = "An operator's key, which opens metrics and states of the fleet, and no model."
        schemes[OPERATOR] = {"type": "http", "scheme": "bearer", "description": text}
    return schemes
