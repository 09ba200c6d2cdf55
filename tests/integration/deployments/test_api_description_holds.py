"""Every route answers generated requests, sensible and not, as the gateway's own description says."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from cluster.fleet import Fleet, Gateway, Limits, Model, Operator, Task, Tenant
from cluster.keys import digest, new_key
from deployments.gateway.api import ROUTES
from deployments.gateway.api.openapi.document import OPERATOR, document
from deployments.gateway.api.openapi.operation import EVENTS
from tests.support.processes import fake_engine, fake_pool, gateway, replica_info

pytestmark = pytest.mark.slow

TENANTS, OPERATORS = new_key(), new_key()
MOST_TOKENS = 256
TEXT_POOL = fake_pool("text", decode_step_s=0.0, max_model_len=MOST_TOKENS)
SPEECH_POOL = fake_pool("speech", decode_step_s=0.0, audio_seconds_per_s=1e9, max_model_len=MOST_TOKENS)
FLEET = Fleet(
    name="described",
    gateway=Gateway(port=0),
    models=[  # by the two names that a fake engine has
        Model(name="m", task=Task.CHAT, checkpoint="virtual", pools=[TEXT_POOL]),
        Model(name="alias", task=Task.TRANSCRIPTION, checkpoint="virtual", pools=[SPEECH_POOL]),
    ],
    tenants=[
        Tenant(name="t", key_sha256=[digest(TENANTS)], limits=Limits(requests_per_minute=10**9)),
    ],
    operators=[Operator(name="o", key_sha256=[digest(OPERATORS)])],
)
DOCUMENT = document(FLEET, ROUTES, set(Task), operator=True)
OPERATIONS = [(path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()]
VARIED = [each for each in OPERATIONS if "requestBody" in each[2] or "parameters" in each[2]]
"""Operations of which a client chooses more than the path."""
GENERATED = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with (
        fake_engine(TEXT_POOL) as text,
        fake_engine(SPEECH_POOL, Task.TRANSCRIPTION) as speech,
        gateway(
            FLEET,
            [
                replica_info(text, TEXT_POOL, aliases=(), max_model_len=MOST_TOKENS),
                replica_info(speech, SPEECH_POOL, "alias", Task.TRANSCRIPTION, aliases=(), max_model_len=MOST_TOKENS),
            ],
        ) as (address, _),
    ):
        yield address


@pytest.fixture(scope="module")
def schema(url: str) -> Any:
    import schemathesis

    answer = requests.get(f"{url}/openapi.json", headers=bearer(OPERATORS), timeout=30)
    assert answer.json() == DOCUMENT
    return schemathesis.openapi.from_dict(answer.json())


@pytest.mark.parametrize(("path", "method", "described"), OPERATIONS)
def test_examples_are_answered_in_every_described_form(
    url: str, schema: Any, path: str, method: str, described: dict[str, Any]
) -> None:
    kinds = set(described["responses"]["200"].get("content", {"": {}}))
    fields: dict[str, Any] = {"path_parameters": {"name": "alias"}} if "{name}" in path else {}
    for kind, content in described.get("requestBody", {}).get("content", {}).items():
        fields |= {"media_type": kind, "body": dict(content["example"])}
    answers = set()
    for stream in [False, True] if EVENTS in kinds else [False]:
        case = schema[path][method].Case(**fields)
        make_usable(case)
        if stream:
            case.body["stream"] = True
        answers.add(check(case, url, key_for(described)))
    assert answers == {(200, kind) for kind in kinds}


@pytest.mark.parametrize(("path", "method", "described"), VARIED)
def test_sensible_requests_are_answered_as_described(
    url: str, schema: Any, path: str, method: str, described: dict[str, Any]
) -> None:
    @GENERATED
    @given(case=schema[path][method].as_strategy())
    def ask(case: Any) -> None:
        make_usable(case)
        check(case, url, key_for(described))

    ask()


@pytest.mark.parametrize(("path", "method", "described"), VARIED)
def test_wrong_requests_are_answered_as_described(
    url: str, schema: Any, path: str, method: str, described: dict[str, Any]
) -> None:
    from schemathesis import GenerationMode

    @GENERATED
    @given(case=schema[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask(case: Any) -> None:
        check(case, url, key_for(described))

    ask()


def check(case: Any, url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and media type of the answer to a generated request, which is held against the description."""
    from schemathesis.specs.openapi import checks

    answer = case.call(base_url=url, headers=headers, timeout=30)
    case.validate_response(
        answer,
        checks=[
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
        ],
    )
    if answer.status_code >= 500:
        assert "x-deadline-ms" in (case.headers or {}), answer.text
        assert answer.json()["error"]["code"] == "deadline_exceeded"
    return answer.status_code, answer.headers.get("content-type", [""])[0].partition(";")[0]


def make_usable(case: Any) -> None:
    """What a schema cannot say: a model that is there, a file that is audio, and a body that is encoded as it says.

    Fake engines give one answer to a prompt.
    """
    if case.headers:
        case.headers.pop("content-encoding", None)
    if case.path_parameters and len(case.path_parameters["name"]) % 2:
        case.path_parameters["name"] = "alias"
    if isinstance(case.body, dict):
        speech = case.path.startswith("/v1/audio")
        case.body["model"] = "alias" if speech else "m"
        case.body.pop("n", None)
        if speech:
            case.body["file"] = speech_file()


def speech_file() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setparams((1, 2, 16_000, 1600, "NONE", ""))
        audio.writeframes(bytes(3200))
    return file.getvalue()


def key_for(described: dict[str, Any]) -> dict[str, str]:
    kinds = {kind for one in described["security"] for kind in one}
    return bearer(OPERATORS if kinds == {OPERATOR} else TENANTS)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
