"""The contract that the fake engine keeps, kept by real vLLM: in MLPerf mode, so that its caches are shown off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.checkpoints import resolve
from cluster.loading import load_fleet
from deployments.engine.backend import EngineSpec
from deployments.engine.replica import engine_spec
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
