"""Requests that share nothing: only how many, and how long."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pydantic import Field

from loadtest.traces.generators.base import Settings
from loadtest.traces.generators.draws import arrivals, length
from loadtest.traces.trace import TraceRequest


class PoissonSettings(Settings):
    input: int = Field(1000, ge=1)
    output: int = Field(200, ge=1)


class Poisson:
    settings = PoissonSettings

    def requests(self, settings: PoissonSettings, rng: Random) -> Iterator[TraceRequest]:
        arrive = arrivals(settings, rng)
        for _ in range(settings.count):
            yield TraceRequest(
                arrive(),
                length(rng, settings.input, settings.spread),
                length(rng, settings.output, settings.spread),
                block_tokens=settings.block,
            )
