"""What a replica needs to know of an engine, whichever it is: how to start it and what its HTTP server tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

if TYPE_CHECKING:
    from cluster.fleet import EngineTls


@dataclass(frozen=True)
class EngineSpec:
    """One engine to start. Plain data: it crosses actors whose environments hold different vLLM builds.

    Attributes:
        names: served model name first, then its aliases.
        task: `cluster.fleet.Task` value.
        checkpoint: local folder, or a hub repository that the engine downloads itself.
        slots: sequences that run at once.
        caches: False in MLPerf mode: prefix and media caches are off.
        fake: settings of the fake engine (`cluster.fleet.FakeEngine` as a dict).
        environment_files: variable -> file on the engine's node that holds its value; it may begin with ~.
        secrets_file: where the fleet's secrets are on the engine's node; it may begin with ~.
    """

    names: tuple[str, ...]
    task: str
    checkpoint: str
    engine: str
    backend: str
    slots: int
    revision: str | None = None
    tensor_parallel: int = 1
    caches: bool = True
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: Mapping[str, str] = field(default_factory=dict)
    removed_environment: frozenset[str] = frozenset()
    fake: Mapping[str, Any] = field(default_factory=dict)
    secrets_file: str = ""
    tls: EngineTls | None = None


@dataclass(frozen=True)
class EngineFacts:
    """What a running engine tells of itself, once it is ready."""

    version: str
    block_size: int | None
    """Tokens per KV block; None where the model has no paged prefix cache to speak of."""
    kv_blocks: int | None
    max_model_len: int | None
    caches: bool
    """Whether any cache that spans requests is on, as the engine itself reports it."""
    kv_events: str | None = None
    """Where KV events are published, for processes of this machine; None where there are none."""
    kv_replay: str | None = None
    """Where KV events that were missed are asked for."""
    renderer: str = ""
    """Name of the gateway's renderer that makes the same prompts; '' where there is none."""


@dataclass(frozen=True)
class EngineLoad:
    """A moment's load: sequences running and waiting, and the share of KV blocks in use (0 to 1)."""

    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0


class EngineBackend(Protocol):
    """A kind of engine process. Its HTTP server is OpenAI's API and answers GET /health with 200 once it is ready."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        """The command line of a server that listens on `host:port`."""

    def environment(self, host: str) -> dict[str, str]:
        """Variables for a server on `host`. Those of the fleet file win over them."""

    def python_path(self) -> list[Path]:
        """Folders that lead the import path of the engine's Python processes."""

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        """Asks a ready engine what it is. Raises aiohttp.ClientError where it does not answer."""

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        """Asks a ready engine how busy it is. Raises aiohttp.ClientError where it does not answer."""


BACKENDS = {
    "vllm": "deployments.engine.vllm.backend:VllmBackend",
    "fake": "deployments.engine.fake:FakeBackend",
}
"""Name -> class, imported on use, so that a node loads only the backend that it runs."""


def backend(name: str) -> EngineBackend:
    """The backend of that name. Raises KeyError for an unknown one."""
    module, _, attribute = BACKENDS[name].partition(":")
    made: EngineBackend = getattr(import_module(module), attribute)()
    return made
