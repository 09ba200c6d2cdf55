"""The fake engine as replicas see it: a command line, and facts and load asked over HTTP."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import aiohttp

from cluster.fleet import Task
from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec
from deployments.engine.fake.config import FakeConfig
from deployments.engine.vllm.routes import ask_facts, ask_load

RENDERERS = {Task.CHAT.value: "fake", Task.VISION_CHAT.value: "fake"}


class FakeBackend:
    """Implements `deployments.engine.backend.EngineBackend`."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        """Raises pydantic.ValidationError where `spec.fake` has settings that the fake engine does not know."""
        config = FakeConfig.of(spec).model_dump_json()
        module = "deployments.engine.fake"
        return [sys.executable, "-m", module, "--host", host, "--port", str(port), "--config", config]

    def environment(self, host: str) -> dict[str, str]:
        return {}

    def python_path(self) -> list[Path]:
        return []

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        return replace(await ask_facts(session, url), renderer=RENDERERS.get(spec.task, ""))

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        return await ask_load(session, url)
