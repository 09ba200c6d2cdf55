"""Agent loops: sessions whose prompt grows by the model's answer and a tool's result each turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count, islice
from random import Random

from pydantic import Field

from loadtest.traces.generators.base import Settings
from loadtest.traces.generators.draws import arrivals, length
from loadtest.traces.trace import TraceRequest


class AgentsSettings(Settings):
    """`rate` is of requests; sessions begin at `rate / turns`, so that the rate swells at the start."""

    rate: float = Field(2.0, gt=0, allow_inf_nan=False, description="requests per second, once sessions overlap")
    spread: float = Field(0.5, ge=0, le=3, description="sigma of lognormal lengths about their means; 0: all alike")
    turns: float = Field(10.0, ge=1, le=1000, description="requests of a session, on average; geometric")
    system: int = Field(4000, ge=1, description="tokens of tools and instructions, the same in every session")
    task: int = Field(500, ge=1, description="tokens that a session begins with after those")
    result: int = Field(1000, ge=1, description="tokens that a tool's result adds each turn, on average")
    output: int = Field(200, ge=1)
    think: float = Field(15.0, gt=0, description="seconds from one request of a session to its next, on average")
    longest: int = Field(100_000, ge=1, description="a session ends before its prompt exceeds so many tokens")


class Agents:
    settings = AgentsSettings

    def requests(self, settings: AgentsSettings, rng: Random) -> Iterator[TraceRequest]:
        return islice(_in_order(settings, rng), settings.count)


def _in_order(settings: AgentsSettings, rng: Random) -> Iterator[TraceRequest]:
    """Requests of all sessions by arrival, without end."""
    begin = arrivals(settings, rng, settings.rate / settings.turns)
    new_block = count().__next__
    common = [new_block() for _ in range(settings.system // settings.block)]
    due: list[tuple[float, int, TraceRequest]] = []
    number = count().__next__
    for session in count():
        start_s = begin()
        while due and due[0][0] <= start_s:
            yield heappop(due)[2]
        for request in _session(settings, rng, f"agent-{session}", start_s, common, new_block):
            heappush(due, (request.at_s, number(), request))


def _session(
    settings: AgentsSettings, rng: Random, name: str, at_s: float, common: list[int], new_block: Callable[[], int]
) -> Iterator[TraceRequest]:
    """The requests of one session; at least one, however long its first prompt is."""
    blocks = list(common)
    prompt = settings.system + length(rng, settings.task, settings.spread)
    while True:
        blocks += [new_block() for _ in range(prompt // settings.block - len(blocks))]
        answer = length(rng, settings.output, settings.spread)
        yield TraceRequest(at_s, prompt, answer, tuple(blocks), settings.block, session=name)
        prompt += answer + length(rng, settings.result, settings.spread)
        at_s += rng.expovariate(1 / settings.think)
        if rng.random() < 1 / settings.turns or prompt > settings.longest:
            return
