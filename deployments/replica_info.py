"""What replicas tell the gateways of themselves; how busy they are goes beside it, in every report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ReplicaInfo:
    """A replica that can take requests. A restarted engine announces itself under a new incarnation."""

    replica: str
    incarnation: str
    url: str
    model: str
    aliases: tuple[str, ...]
    task: str
    pool: str
    vendor: str
    engine: str
    engine_version: str
    accelerator: str | None
    tensor_parallel: int
    slots: int
    checkpoint: str
    revision: str | None
    block_size: int | None
    kv_blocks: int | None
    max_model_len: int | None
    caches: bool
    """True where any cache that spans requests is on: such a replica may not take part in an MLPerf run."""
    cache_reports: str | None
    """Where its cache reporter publishes (`deployments.encrypted_sockets` says how addresses look); None where there is
    no reporter."""
    cache_snapshots: str | None
    """Where its cache reporter answers with all that it knows."""

    renderer: str = ""
    """How the gateway makes this engine's prompts (`deployments.gateway.preparation.prompts`); '' where it does not."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})
