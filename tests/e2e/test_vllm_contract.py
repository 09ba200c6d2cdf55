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
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.replica import engine_spec
from deployments.engine.vllm import CUSTOMIZE
from deployments.gateway.resume.conditions import CARRIED, KNOWN, why_not
from tests.support.engine_contract import EngineContract


class TestVllm(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> EngineSpec:
        fleet = load_fleet("embedded").model_copy(update={"mlperf": True})
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


def test_an_engine_on_the_cpu_inspects_its_model_in_its_own_process() -> None:
    """vLLM's function for a process of its own is private: where it has another name, only the start takes longer."""
    program = "import os; from vllm.model_executor.models import registry as r; print(r._run_in_subprocess(os.getpid))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CUSTOMIZE), str(PROJECT_ROOT)])}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as engine:
        printed, _ = engine.communicate(timeout=120)
    assert printed.split()[-1] == str(engine.pid)
