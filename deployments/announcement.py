"""What replicas tell the gateways: who they are (an announcement) and how busy they are (a heartbeat)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Announcement:
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

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


@dataclass(frozen=True)
class Load:
    """A replica's own view of its load; the gateway's bookings are exact for its own requests, this adds the rest."""

    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0
