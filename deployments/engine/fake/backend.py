"""The fake engine as replicas see it: a command line, and facts and load asked over HTTP."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import aiohttp

import deployments
from cluster.fleet import Task
from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec
from deployments.engine.fake.config import FakeConfig

TIMEOUT = aiohttp.ClientTimeout(total=5)

_SAMPLE = re.compile(r"^(?P<name>vllm:\w+)\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class FakeBackend:
    """Implements `deployments.engine.backend.EngineBackend`."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        """Raises pydantic.ValidationError where `spec.fake` has settings that the fake engine does not know."""
        config = FakeConfig.of(spec).model_dump_json()
        module = "deployments.engine.fake"
        return [sys.executable, "-m", module, "--host", host, "--port", str(port), "--config", config]

    def environment(self, spec: EngineSpec) -> dict[str, str]:
        """The project on the module path, also where it is not installed and the process starts in another folder."""
        root = Path(deployments.__file__).parents[1]
        return {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        async with session.get(f"{url}/version", timeout=TIMEOUT, raise_for_status=True) as response:
            version = (await response.json())["version"]
        async with session.get(f"{url}/v1/models", timeout=TIMEOUT, raise_for_status=True) as response:
            max_model_len = (await response.json())["data"][0]["max_model_len"]
        cache = (await self._metrics(session, url))["vllm:cache_config_info"][0]
        has_prefixes = spec.task != Task.TRANSCRIPTION
        return EngineFacts(
            version=version,
            block_size=int(cache["block_size"]) if has_prefixes else None,
            kv_blocks=int(cache["num_gpu_blocks"]) if has_prefixes else None,
            max_model_len=max_model_len,
            caches=cache["enable_prefix_caching"] == "True",
        )

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        told = await self._metrics(session, url)
        return EngineLoad(
            running=int(told["vllm:num_requests_running"][1]),
            waiting=int(told["vllm:num_requests_waiting"][1]),
            kv_use=told["vllm:kv_cache_usage_perc"][1],
        )

    async def _metrics(self, session: aiohttp.ClientSession, url: str) -> dict[str, tuple[dict[str, str], float]]:
        """Metric name -> its labels and value; the fake has one sample of each."""
        async with session.get(f"{url}/metrics", timeout=TIMEOUT, raise_for_status=True) as response:
            text = await response.text()
        return {
            sample["name"]: (dict(_LABEL.findall(sample["labels"])), float(sample["value"]))
            for sample in _SAMPLE.finditer(text)
        }
