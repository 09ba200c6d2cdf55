"""The fake engine keeps the contract of the real one; tests/e2e holds vLLM against the same class."""

from __future__ import annotations

import pytest

from deployments.engine.backend import EngineSpec
from tests.support.engine_contract import EngineContract
from tests.support.processes import fake_pool, fake_spec


class TestFakeEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> EngineSpec:
        return fake_spec(fake_pool(decode_step_s=0.005))
