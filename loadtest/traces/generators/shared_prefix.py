"""Groups of requests with a common system prompt: `guide_optimized-baseline` of llm-d's benchmark is the default."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pydantic import Field

from loadtest.traces.generators.base import Settings
from loadtest.traces.generators.draws import Popularity, arrivals, choice, length
from loadtest.traces.trace import TraceRequest


class SharedPrefixSettings(Settings):
    groups: int = Field(150, ge=1)
    system: int = Field(6000, ge=1, description="tokens that all requests of a group begin with")
    question: int = Field(1200, ge=1, description="tokens of each request's own, on average")
    output: int = Field(1000, ge=1)
    popularity: Popularity = "uniform"
    exponent: float = Field(1.0, gt=0, le=5, description="of zipf")


class SharedPrefix:
    settings = SharedPrefixSettings

    def requests(self, settings: SharedPrefixSettings, rng: Random) -> Iterator[TraceRequest]:
        whole = settings.system // settings.block
        blocks = [tuple(range(group * whole, (group + 1) * whole)) for group in range(settings.groups)]
        arrive = arrivals(settings, rng)
        group_of_next = choice(rng, settings.groups, settings.popularity, settings.exponent)
        for _ in range(settings.count):
            yield TraceRequest(
                at_s=arrive(),
                input_tokens=settings.system + length(rng, settings.question, settings.spread),
                output_tokens=length(rng, settings.output, settings.spread),
                blocks=blocks[group_of_next()],
                block_tokens=settings.block,
            )
