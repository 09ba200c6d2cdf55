"""The contract that the fake engine keeps, kept by real vLLM: in MLPerf mode, so that its caches are shown off."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from cluster.checkpoints import resolve
from cluster.loading import load_fleet
from deployments.engine.backend import EngineSpec
from deployments.engine.engine_spec import engine_spec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm import CUSTOMIZE
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
