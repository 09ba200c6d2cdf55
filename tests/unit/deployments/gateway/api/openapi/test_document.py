from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cluster.fleet import Fleet, Limits, Model, Operator, Pool, Task, Tenant
from deployments.gateway.api import MODEL_ROUTES, ROUTES
from deployments.gateway.api.openapi.document import OPERATOR, TENANT, document
from deployments.gateway.api.openapi.fields import SCHEMAS
from deployments.gateway.api.openapi.statuses import OF_MODELS, OWN
from deployments.gateway.api.route import Access
from deployments.gateway.request.fields import WITHHELD
from tests.support.routes import FIELDS

GATEWAY = Path(__file__).parents[6] / "deployments" / "gateway"
POOL = Pool(name="secret-pool", vendor="cpu", engine="fake")
CHAT = Model(name="secret-chat", task=Task.CHAT, checkpoint="secret/checkpoint", pools=[POOL])
SPEECH = Model(name="secret-speech", task=Task.TRANSCRIPTION, checkpoint="secret/checkpoint", pools=[POOL])
TENANTS = [Tenant(name="secret-tenant", key_sha256=["0" * 64])]
OPERATORS = [Operator(name="secret-operator", key_sha256=["1" * 64])]
OPEN = Fleet(name="f", models=[CHAT, SPEECH])
CLOSED = OPEN.model_copy(update={"tenants": TENANTS, "operators": OPERATORS})

SPEECH_PATHS = {"/v1/audio/transcriptions", "/v1/audio/translations"}
OPERATOR_PATHS = {"/metrics", "/debug/routing"}


def described(fleet: Fleet = CLOSED, *, operator: bool = True, tasks: set[Task] | None = None) -> dict[str, Any]:
    return document(fleet, ROUTES, set(Task) if tasks is None else tasks, operator)


def operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in made["paths"].values():
        yield from methods.values()


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    for below in tree if isinstance(tree, list) else ():
        yield from nodes(below)


def test_every_route_is_described() -> None:
    paths = {re.sub(r":.*}", "}", route.path) for route in ROUTES}
    assert set(described()["paths"]) == paths
    assert all(one["summary"] and one["responses"]["200"] for one in operations(described()))


def test_routes_that_no_model_offers_are_absent() -> None:
    chat = set(described(tasks={Task.CHAT})["paths"])
    assert set(described()["paths"]) - chat == SPEECH_PATHS
    speech = set(described(tasks={Task.TRANSCRIPTION})["paths"])
    assert speech >= SPEECH_PATHS
    assert "/v1/chat/completions" not in speech


def test_operators_routes_are_described_to_those_who_may_use_them() -> None:
    assert set(described()["paths"]) - set(described(operator=False)["paths"]) == OPERATOR_PATHS
    assert set(described(OPEN)["paths"]) >= OPERATOR_PATHS
    without = CLOSED.model_copy(update={"operators": []})
    assert not OPERATOR_PATHS & set(described(without)["paths"])


def test_no_name_of_a_model_a_tenant_or_a_pool_is_told() -> None:
    assert "secret" not in json.dumps(described())


def test_security_follows_who_may_ask() -> None:
    made = described()["paths"]
    assert made["/v1/chat/completions"]["post"]["security"] == [{TENANT: []}]
    assert made["/metrics"]["get"]["security"] == [{OPERATOR: []}]
    assert made["/fleet"]["get"]["security"] == [{TENANT: []}, {OPERATOR: []}]
    assert made["/health"]["get"]["security"] == []
    assert all(one["security"] == [] for one in operations(described(OPEN)))
    no_tenants = described(CLOSED.model_copy(update={"tenants": []}))["paths"]
    assert no_tenants["/v1/models"]["get"]["security"] == []
    assert no_tenants["/fleet"]["get"]["security"] == [{}, {OPERATOR: []}]


def test_401_is_there_where_a_key_is_needed() -> None:
    for one in operations(described()):
        assert ("401" in one["responses"]) == bool(one["security"]), one["operationId"]
    assert all("401" not in one["responses"] for one in operations(described(OPEN)))


def test_a_measured_fleet_refuses_no_load() -> None:
    chat = described(OPEN)["paths"]["/v1/chat/completions"]["post"]["responses"]
    measured = described(OPEN.model_copy(update={"mlperf": True}))["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert chat.keys() - measured.keys() == {"429"}


def test_limits_add_their_headers() -> None:
    limited = [TENANTS[0].model_copy(update={"limits": Limits(requests_per_minute=1)})]
    for tenants, there in ((TENANTS, False), (limited, True)):
        made = described(CLOSED.model_copy(update={"tenants": tenants}))
        answer = made["paths"]["/v1/models"]["get"]["responses"]["200"]
        assert ("x-ratelimit-remaining-requests" in answer["headers"]) is there


def test_bodies_have_the_fields_that_clients_may_send_and_no_others() -> None:
    made = described()["paths"]
    for route in MODEL_ROUTES:
        (content,) = made[route.path]["post"]["requestBody"]["content"].values()
        properties = content["schema"]["properties"]
        assert set(properties) == route.bodies.fields
        assert not WITHHELD & set(properties)
        assert set(content["schema"]["required"]) <= set(properties)
        assert set(content["example"]) <= set(properties)
        example = {name: value for name, value in content["example"].items() if name != "file"}
        partial = {**content["schema"], "required": []}
        Draft202012Validator(partial).validate(example)


def test_fields_are_closed_where_unknown_ones_are_refused() -> None:
    refusing = OPEN.model_copy(update={"gateway": OPEN.gateway.model_copy(update={"unknown_fields": "refuse"})})
    for fleet, closed in ((OPEN, False), (refusing, True)):
        (content,) = described(fleet)["paths"]["/tokenize"]["post"]["requestBody"]["content"].values()
        assert (content["schema"].get("additionalProperties") is False) is closed


def test_no_schema_is_of_a_field_that_nobody_has() -> None:
    allowed = set().union(*FIELDS.values())
    own = {name for route in MODEL_ROUTES if route.operation.body for name in route.operation.body.fields}
    assert set(SCHEMAS) | own <= allowed


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    made = described()
    for node in nodes(made):
        if isinstance(reference := node.get("$ref"), str):
            target = made
            for name in reference.removeprefix("#/").split("/"):
                target = target[name]
        if isinstance(node.get("schema"), dict):
            Draft202012Validator.check_schema(node["schema"])
    names = [one["operationId"] for one in operations(made)]
    assert len(names) == len(set(names))


def test_every_code_of_an_error_is_described() -> None:
    used = {code for file in GATEWAY.rglob("*.py") for code in re.findall(r'\bcode="([a-z_]+)"', file.read_text())}
    told = {code for statuses in (OWN, OF_MODELS) for status in statuses.values() for code in status.codes}
    assert used - told == {"operators_only"}, "403 is of routes that such a fleet does not offer"


@pytest.mark.parametrize("access", list(Access))
def test_there_are_routes_of_every_access(access: Access) -> None:
    assert any(route.access is access for route in ROUTES)


def test_the_document_stays_small() -> None:
    assert len(json.dumps(described())) < 100_000
