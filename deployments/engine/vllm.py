"""The vLLM backend: the only file that knows vLLM's command line and the routes that are its own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec

SERVER = "vllm.entrypoints.openai.api_server"
"""As a module: the CPU wheel's `vllm serve` command asks for the metadata of a package that it is not."""

CUSTOMIZE = Path(__file__).parent / "customize"
CACHES_OFF = {"enable-prefix-caching": False, "mm-processor-cache-gb": 0}


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """Flags as vLLM's parser takes them: true -> --x, false -> --no-x, mappings and lists -> JSON."""
    words: list[str] = []
    for flag, value in flags.items():
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return words


def engine_arguments(spec: EngineSpec) -> list[str]:
    """vLLM's flags for `spec`, without its address: what the tests hold against vLLM's own parser."""
    flags: dict[str, Any] = {
        "model": spec.checkpoint,
        "max-num-seqs": spec.slots,
        "tensor-parallel-size": spec.tensor_parallel,
        "enable-prompt-tokens-details": True,
        "uvicorn-log-level": "warning",
    }
    if spec.revision:
        flags["revision"] = spec.revision
    if spec.tool_parser:
        flags |= {"enable-auto-tool-choice": True, "tool-call-parser": spec.tool_parser}
    if spec.reasoning_parser:
        flags["reasoning-parser"] = spec.reasoning_parser
    if not spec.caches:
        flags |= CACHES_OFF
    return ["--served-model-name", *spec.names, *arguments(flags | dict(spec.flags))]


class VllmBackend:
    """vLLM's OpenAI server in a process of its own."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        address = ["--host", host, "--port", str(port)]
        return [sys.executable, "-m", SERVER, *engine_arguments(spec), *address]

    def python_path(self) -> list[Path]:
        return [CUSTOMIZE]

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        async with session.get(f"{url}/version", raise_for_status=True) as answer:
            version = str((await answer.json())["version"])
        async with session.get(f"{url}/v1/models", raise_for_status=True) as answer:
            max_model_len = (await answer.json())["data"][0].get("max_model_len")
        cache = _labels(await _metrics(session, url), "vllm:cache_config_info")
        prefix_caching = cache.get("enable_prefix_caching") == "True"
        return EngineFacts(
            version=version,
            block_size=_number(cache.get("block_size")),
            kv_blocks=_number(cache.get("num_gpu_blocks")),
            max_model_len=max_model_len,
            # No route tells of the media cache: it is off only where this backend itself switched it off.
            caches=prefix_caching or spec.caches,
        )

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        text = await _metrics(session, url)
        return EngineLoad(
            running=int(_value(text, "vllm:num_requests_running")),
            waiting=int(_value(text, "vllm:num_requests_waiting")),
            kv_use=_value(text, "vllm:kv_cache_usage_perc"),
        )


async def _metrics(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(f"{url}/metrics", raise_for_status=True) as answer:
        return await answer.text()


def _value(text: str, metric: str) -> float:
    """The sum of a gauge over its label sets; 0 where the engine does not have it."""
    return sum(float(found) for found in re.findall(rf"^{re.escape(metric)}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))


def _labels(text: str, metric: str) -> dict[str, str]:
    found = re.search(rf"^{re.escape(metric)}\{{(.*)\}} ", text, re.M)
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[1])) if found else {}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
