"""The fleet file: models x pools, the gateway and MLPerf mode. The one configuration schema of the project."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from cluster.vendors import ENGINE_KINDS, VENDORS

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""A pool or fleet name: it becomes part of deployment names, metric labels and result folders."""

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$", max_length=128)]
"""A served model name or alias, as clients write it in `model`."""

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
    "port": "the replica itself",
    "pipeline-parallel-size": "nothing yet: an engine runs inside one node",
}
CACHE_FLAGS = {
    "enable-prefix-caching",
    "no-enable-prefix-caching",
    "mm-processor-cache-gb",
    "disable-mm-preprocessor-cache",
}


class Strict(BaseModel):
    """Rejects unknown keys, so that a misspelt one is an error and never a silent default.

    Errors do not show what was written: it may be a client's key at a wrong place. `cluster.loading` shows what it may.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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
    env: dict[str, str] = Field(default_factory=dict)
    readiness_timeout_s: float = Field(900, gt=0)
    drain_timeout_s: float = Field(600, ge=0)
    fake: FakeEngine = FakeEngine()

    @field_validator("vendor")
    @classmethod
    def _known_vendor(cls, value: str) -> str:
        return _one_of(value, VENDORS, "vendor")

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        return _one_of(value, ENGINE_KINDS, "engine")

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
        _distinct(spelled, "flag")
        return dict(zip(spelled, flags.values(), strict=True))

    @model_validator(mode="after")
    def _engine_fits_vendor(self) -> Self:
        allowed = ENGINE_KINDS[self.engine].vendors
        if self.vendor not in allowed:
            raise ValueError(
                f"engine '{self.engine}' cannot run on vendor '{self.vendor}': it runs on {', '.join(sorted(allowed))}"
            )
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
        _distinct([pool.name for pool in self.pools], f"pool name in model '{self.name}'")
        return self

    @property
    def names(self) -> list[str]:
        return [self.name, *self.aliases]


class Gateway(Strict):
    """The HTTP face. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535, description="0 lets the OS choose")
    processes: int = Field(1, ge=1, le=64, description="gateways that share the port on one node")
    policy: str = Field("seconds", description="how a replica is chosen: seconds, or one of the field's own rules")
    max_queue: int = Field(1000, ge=0, description="requests that may wait per model; more get 429")
    queue_timeout_s: float = Field(120, gt=0)
    overcommit: float = Field(2.0, ge=1, description="requests sent to a replica at once, per slot of it")
    attempts: int = Field(3, ge=1, description="replicas tried before a failure reaches the client")
    resume: bool = Field(True, description="continue a stream on another replica where its own fails")
    connect_timeout_s: float = Field(5, gt=0)
    read_timeout_s: float = Field(600, gt=0, description="longest silence of a replica within an answer")
    body_timeout_s: float = Field(120, gt=0, description="within which a request's body must have come")
    keepalive_s: float = Field(75, ge=65)
    drain_timeout_s: float = Field(600, ge=0, description="within which what is under way may end before it stops")
    max_json_bytes: int = Field(32 * 2**20, ge=1024)
    media_domains: list[str] = Field([], description="hosts that media may be fetched from; others: data: only")
    media_networks: list[IPvAnyNetwork] = Field([], description="not public, and yet media may be fetched from there")
    unknown_fields: Literal["drop", "refuse"] = Field("drop", description="fields of a request that engines lack")
    max_upload_bytes: int = Field(25 * 2**20, ge=1024, description="one audio file")
    max_bytes_in_flight: int = Field(2**30, ge=2**20, description="of all requests in one process; more get 503")
    write_timeout_s: float = Field(60, gt=0, description="after which a client that does not read a stream is cut off")


def _absolute(value: str) -> str:
    if not Path(value).is_absolute() and not value.startswith("~"):
        raise ValueError("write an absolute path, or one that begins with ~: gateways start in folders of their own")
    return value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
"""A file on each node, for processes that start in folders of their own."""


def _sha256(value: str) -> str:
    if len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
        raise ValueError(
            "not a SHA-256 digest, which has 64 hex digits; `mixfleet key` makes a key and its digest. "
            "Write the digest here and never the key, or name a `key_file`"
        )
    return value.lower()


class Limits(Strict):
    """What a tenant may use in a minute, over all gateways together; None is no limit."""

    requests_per_minute: int | None = Field(None, gt=0)
    tokens_per_minute: int | None = Field(None, gt=0, description="prompt and answer together")
    audio_seconds_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)


class Tenant(Strict):
    """Someone with keys of their own.

    A fleet travels: into Ray, to `show`, into results. So it holds the keys' digests, or names a file of keys on the
    gateway's machine, and there is no place in it for a key.
    """

    name: Name
    key_sha256: list[Annotated[str, AfterValidator(_sha256)]] = []
    key_file: AbsolutePath | None = Field(None, description="a key per line; read where and when a gateway starts")
    priority: int = Field(0, ge=-100, le=100, description="higher is more urgent")
    limits: Limits = Limits()
    models: list[ModelName] | None = Field(None, min_length=1, description="names or aliases; None is all models")

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if not self.key_sha256 and self.key_file is None:
            raise ValueError("a tenant without keys can ask nothing; give it `key_sha256` or a `key_file`")
        return self


class Fleet(Strict):
    """A whole deployment: what is served, where, and how it is reached."""

    name: Name
    mlperf: bool = Field(False, description="no reuse across queries: every cache off, and nothing is shed")
    checkpoint_cache: str | None = Field(None, description="folder of prepared checkpoints; shared between nodes")
    gateway: Gateway = Gateway()
    models: list[Model] = Field(min_length=1)
    tenants: list[Tenant] = Field([], description="who may ask; with none, anyone may and no key is asked for")
    secrets_file: AbsolutePath | None = Field(
        None,
        description="a secret per line, the first in use; the same on every node. None: made on this machine",
    )

    @property
    def cache_folder(self) -> Path | None:
        """Folder of prepared checkpoints; None means the user's own cache."""
        return Path(self.checkpoint_cache).expanduser() if self.checkpoint_cache else None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        _distinct([name for model in self.models for name in model.names], "model name or alias")
        _distinct([deployment_name(m, p) for m in self.models for p in m.pools], "deployment name")
        return self

    @model_validator(mode="after")
    def _measured_fleets_stay_as_they_are(self) -> Self:
        growing = [f"{m.name}/{pool.name}" for m in self.models for pool in m.pools if self.mlperf and pool.grows]
        if growing:
            raise ValueError(f"an `mlperf` fleet keeps its size: remove max_replicas of {', '.join(growing)}")
        return self

    @model_validator(mode="after")
    def _tenants_fit(self) -> Self:
        served = {name for model in self.models for name in model.names}
        names: set[str] = set()
        keys: dict[str, str] = {}
        mistakes: list[InitErrorDetails] = []
        for number, tenant in enumerate(self.tenants):
            at = ("tenants", number)
            if tenant.name in names:
                mistakes.append(_mistake((*at, "name"), f"tenant '{tenant.name}' is there twice; rename one"))
            names.add(tenant.name)
            for place, key in enumerate(tenant.key_sha256):
                if key in keys:
                    told = f"tenant '{keys[key]}' has this key already; a key belongs to one tenant, and is listed once"
                    mistakes.append(_mistake((*at, "key_sha256", place), told))
                keys.setdefault(key, tenant.name)
            for place, model in enumerate(tenant.models or []):
                if model not in served:
                    told = f"no model of this fleet is named '{model}'; use one of {', '.join(sorted(served))}"
                    mistakes.append(_mistake((*at, "models", place), told))
        if mistakes:
            raise ValidationError.from_exception_data("Fleet", mistakes)
        return self


def deployment_name(model: Model, pool: Pool) -> str:
    """The Serve deployment of one pool: the model's name without slashes or colons, then the pool's."""
    return f"{model.name.replace('/', '-').replace(':', '-')}@{pool.name}"


def _mistake(at: tuple[str | int, ...], told: str) -> InitErrorDetails:
    """An error at a place of its own within the model that is being validated."""
    return InitErrorDetails(type=PydanticCustomError("value_error", "{told}", {"told": told}), loc=at, input=None)


def _one_of(value: str, known: dict[str, Any], what: str) -> str:
    if value not in known:
        raise ValueError(f"unknown {what} '{value}': use one of {', '.join(sorted(known))}")
    return value


def _distinct(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} used twice: {', '.join(twice)}; rename or remove one")
