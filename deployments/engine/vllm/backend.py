"""The vLLM backend: the only file that knows vLLM's command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from cluster.fleet import Task
from deployments.engine.access.paths import on_this_node
from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec
from deployments.engine.guard import SOCKETS
from deployments.engine.rendering import renderer_of
from deployments.engine.vllm.routes import ask_facts, ask_load

SERVER = "vllm.entrypoints.openai.api_server"
"""As a module: the CPU wheel's `vllm serve` command asks for the metadata of a package that it is not."""

ACCESS = "deployments.engine.access.vllm_middleware.VllmAccess"
"""Demands the fleet's key on every route and WebSocket; vLLM's own `--api-key` leaves most of them open."""

CUSTOMIZE = Path(__file__).parent / "customize"
CACHES_OFF = {"enable-prefix-caching": False, "mm-processor-cache-gb": 0}
KV_EVENTS = {
    "enable_kv_cache_events": True,
    "publisher": "zmq",
    "endpoint": f"ipc://{SOCKETS}/kv-events",
    "replay_endpoint": f"ipc://{SOCKETS}/kv-replays",
}
"""The events hold every tenant's token ids and have no key: so they stay in a folder that no other user may enter.
`GET /kv_event_sources` says where it is."""


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
        "middleware": ACCESS,
    }
    if spec.tls:
        flags |= {"ssl-certfile": on_this_node(spec.tls.certificate), "ssl-keyfile": on_this_node(spec.tls.key)}
    if spec.revision:
        flags["revision"] = spec.revision
    if spec.tool_parser:
        flags |= {"enable-auto-tool-choice": True, "tool-call-parser": spec.tool_parser}
    if spec.reasoning_parser:
        flags["reasoning-parser"] = spec.reasoning_parser
    if not spec.caches:
        flags |= CACHES_OFF
    elif spec.task != Task.TRANSCRIPTION:  # an encoder-decoder has no prefix to reuse
        flags["enable-prefix-caching"] = True
        if str(spec.flags.get("data-parallel-size", 1)) == "1":
            # Of several engines behind one address nobody knows which one a request meets.
            flags["kv-events-config"] = KV_EVENTS
    return ["--served-model-name", *spec.names, *arguments(flags | dict(spec.flags))]


class VllmBackend:
    """vLLM's OpenAI server in a process of its own."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        address = ["--host", host, "--port", str(port)]
        return [sys.executable, "-m", SERVER, *engine_arguments(spec), *address]

    def environment(self, host: str) -> dict[str, str]:
        return {
            # The address of vLLM's own sockets: left alone, it takes that of the route to the internet.
            "VLLM_HOST_IP": host,
            # Its own Unix sockets: left alone, they are where TMPDIR points, which may be too long a path.
            "VLLM_RPC_BASE_PATH": SOCKETS,
            # vLLM would demand it in the place of the fleet's key.
            "VLLM_API_KEY": "",
            # A host that may serve media must not lead the engine to one that may not.
            "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        }

    def python_path(self) -> list[Path]:
        return [CUSTOMIZE]

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        told = await ask_facts(session, url)
        # No route tells of the media cache: it is off only where this backend itself switched it off.
        return replace(told, caches=told.caches or spec.caches, renderer=renderer_of(spec))

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        return await ask_load(session, url)
