"""Models and their pools: what is served, and on what."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from cluster.fleet.base import AbsolutePath, ModelName, Name, Strict, distinct, one_of
from cluster.vendors import ENGINE_KINDS, VENDORS

FlagValue = bool | int | float | str | list[Any] | dict[str, Any]


OWNED_FLAGS = {
    "model": "the model's `checkpoint`",
    "revision": "the model's `revision`",
    "served-model-name": "the model's `name` and `aliases`",
    "tensor-parallel-size": "the pool's `tensor_parallel`",
    "max-num-seqs": "the pool's `slots`",
    "tool-call-parser": "the model's `tool_parser`",
    "enable-auto-tool-choice": "the model's `tool_parser`",
    "reasoning-parser": "the model's `reasoning_parser`",
    "host": "the replica itself",
    "api-key": "the fleet's `secrets_file`",
    "middleware": "the replica itself, which demands the fleet's key by it",
    "root-path": "nothing: engines are reached at their own address",
    "uds": "the replica itself",
    "ssl-certfile": "the fleet's `engine_tls`",
    "ssl-keyfile": "the fleet's `engine_tls`",
    "ssl-ca-certs": "the fleet's `engine_tls`",
    "port": "the replica itself",
    "pipeline-parallel-size": "nothing yet: an engine runs inside one node",
}


SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|ACCESS_KEY|SECRET_KEY|CREDENTIALS)$", re.I
)
"""Names of variables whose values are secrets, by what they end with."""


CACHE_FLAGS = {
    "enable-prefix-caching",
    "no-enable-prefix-caching",
    "mm-processor-cache-gb",
    "disable-mm-preprocessor-cache",
}


class Task(StrEnum):
    """What a model does: decides which routes it offers and how its work is measured."""

    CHAT = "chat"
    VISION_CHAT = "vision-chat"
    TRANSCRIPTION = "transcription"


class FakeEngine(Strict):
    """Speed and faults of a pool whose `engine` is `fake`. Seconds and tokens are of the virtual engine's own clock."""

    prefill_tokens_per_s: float = Field(20_000, gt=0)
    decode_step_s: float = Field(0.01, ge=0, description="seconds for one step of the whole running batch")
    decode_step_per_sequence_s: float = Field(0.0, ge=0, description="seconds added to a step by each sequence in it")
    audio_seconds_per_s: float = Field(100, gt=0, description="seconds of audio encoded in a second")
    block_size: int = Field(16, ge=1)
    kv_blocks: int = Field(8192, ge=1)
    max_model_len: int = Field(131_072, ge=16)
    tokens_per_answer: int = Field(16, ge=1, description="answer length where the request sets no smaller limit")
    startup_s: float = Field(0, ge=0)


class Pool(Strict):
    """Replicas of one model on one kind of hardware; each pool is one Serve deployment."""

    name: Name
    vendor: str = Field(description="nvidia | amd | cpu: the node tag that the replicas are placed by")
    engine: str = Field(description="cuda | rocm | cpu | fake: what runs there")
    accelerator: str | None = Field(None, description="h200, mi350x, ...: seeds the learned speed and labels results")
    tensor_parallel: int = Field(1, ge=1, le=64)
    min_replicas: int = Field(1, ge=0, description="0: none while nobody asks; needs max_replicas")
    max_replicas: int | None = Field(None, ge=1, description="ceiling for growth; defaults to min_replicas")
    cost: float = Field(1, gt=0, allow_inf_nan=False, description="of a replica, in any unit: cheaper pools grow first")
    cpus_per_replica: float = Field(1, ge=0, description="CPUs that Ray reserves; 0 on a machine with few")
    slots: int = Field(64, ge=1, le=65_536, description="sequences that run at once in one replica (--max-num-seqs)")
    flags: dict[str, FlagValue] = Field(default_factory=dict, description="further engine flags, without the dashes")
    env: dict[str, str] = Field(default_factory=dict, description="variables of its engines; no secrets: see env_files")
    env_files: dict[str, AbsolutePath] = Field(
        default_factory=dict, description="variable -> file on each node with its value, for secrets such as HF_TOKEN"
    )
    readiness_timeout_s: float = Field(900, gt=0)
    drain_timeout_s: float = Field(600, ge=0)
    fake: FakeEngine = FakeEngine()

    @field_validator("vendor")
    @classmethod
    def _known_vendor(cls, value: str) -> str:
        return one_of(value, VENDORS, "vendor")

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        return one_of(value, ENGINE_KINDS, "engine")

    @field_validator("env")
    @classmethod
    def _holds_no_secret(cls, env: dict[str, str]) -> dict[str, str]:
        if secrets := sorted(name for name in env if SECRET_VARIABLE.search(name)):
            raise ValueError(
                f"{', '.join(secrets)}: a fleet file is shown and copied, so it holds no secrets; "
                "write the value into a file on each node and name that in `env_files`"
            )
        return env

    @field_validator("flags")
    @classmethod
    def _free_flags(cls, flags: dict[str, FlagValue]) -> dict[str, FlagValue]:
        for flag in flags:
            bare = flag.lstrip("-").replace("_", "-")
            if bare in OWNED_FLAGS:
                raise ValueError(f"flag '{flag}' is set by {OWNED_FLAGS[bare]}: remove it here")
            if bare in CACHE_FLAGS:
                raise ValueError(f"flag '{flag}' follows from the fleet's `mlperf` mode alone: remove it here")
        spelled = [flag.lstrip("-").replace("_", "-") for flag in flags]
        distinct(spelled, "flag")
        return dict(zip(spelled, flags.values(), strict=True))

    @model_validator(mode="after")
    def _engine_fits_vendor(self) -> Self:
        allowed = ENGINE_KINDS[self.engine].vendors
        if self.vendor not in allowed:
            raise ValueError(
                f"engine '{self.engine}' cannot run on vendor '{self.vendor}': it runs on {', '.join(sorted(allowed))}"
            )
        if twice := sorted(self.env.keys() & self.env_files.keys()):
            raise ValueError(f"{', '.join(twice)}: in `env` and in `env_files`; remove one")
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}: raise it")
        if self.most_replicas == 0:
            raise ValueError("min_replicas is 0 and there is no max_replicas, so that it could never have a replica")
        return self

    @property
    def most_replicas(self) -> int:
        return self.max_replicas or self.min_replicas

    @property
    def grows(self) -> bool:
        return self.most_replicas > self.min_replicas


class Autoscaling(Strict):
    """When a model's pools grow and shrink, between their `min_replicas` and `max_replicas`. Times in seconds."""

    target_use: float = Field(0.7, gt=0, le=1, description="share of a replica's slots that it is meant for")
    target_busy: float = Field(0.6, gt=0, le=1, description="share of its time that it is meant to compute prompts")
    target_kv_use: float = Field(0.85, gt=0, le=1, description="share of its KV cache that it is meant for")
    up_window_s: float = Field(10, ge=0, description="growth follows the mean load of so long")
    growth: float = Field(2, gt=1, description="times the replicas that are ready, up to which it grows at once")
    down_window_s: float = Field(300, ge=0, description="shrinking follows the highest load of so long")
    to_zero_after_s: float = Field(600, ge=0, description="without any request, until the last replica goes")
    margin: float = Field(0.1, ge=0, description="by which the load must have fallen further before a replica goes")


class Model(Strict):
    """One served model and the pools that run it."""

    name: ModelName
    aliases: list[ModelName] = []
    task: Task
    checkpoint: str = Field(min_length=1, description="an embedded checkpoint's name, a folder, or a hub repository")
    revision: str | None = Field(None, description="the hub commit; needed for a result that can be submitted")
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    autoscaling: Autoscaling = Autoscaling()
    pools: list[Pool] = Field(min_length=1)

    @model_validator(mode="after")
    def _pool_names_differ(self) -> Self:
        distinct([pool.name for pool in self.pools], f"pool name in model '{self.name}'")
        return self

    @property
    def names(self) -> list[str]:
        return [self.name, *self.aliases]


def deployment_name(model: Model, pool: Pool) -> str:
    """The Serve deployment of one pool: the model's name without slashes or colons, then the pool's."""
    return f"{model.name.replace('/', '-').replace(':', '-')}@{pool.name}"
