"""What a generator is, and the settings that all of them take."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from loadtest.traces.trace import TraceRequest


class Settings(BaseModel):
    """The keys of a generator's spec. Lengths are in tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(2000, ge=1, le=10_000_000, description="requests")
    rate: float = Field(10.0, gt=0, allow_inf_nan=False, description="requests per second, on average")
    arrivals: Literal["poisson", "gamma", "even"] = "poisson"
    burstiness: float = Field(2.0, gt=0, le=20, description="of gamma: deviation over mean of the gaps; poisson has 1")
    spread: float = Field(0.0, ge=0, le=3, description="sigma of lognormal lengths about their means; 0: all alike")
    block: int = Field(16, ge=1, description="tokens of a block")


class Generator(Protocol):
    """Makes the requests of a trace. One file each; `loadtest.traces.generators.GENERATORS` names them."""

    @property
    def settings(self) -> type[Settings]:
        """The keys that its spec takes."""

    def requests(self, settings: Any, rng: Random) -> Iterable[TraceRequest]:
        """`settings.count` requests in any order: the same ones for settings of the same values and an equal `rng`."""
