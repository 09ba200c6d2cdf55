"""The options of `python -m loadtest.simulate`, and the grid of simulations that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.option_types import COUNT, FLAG, LIST, NOT_NEGATIVE, POSITIVE, SHARE, mutually_exclusive, one_of
from deployments.routing import DEFAULT_POLICY, POLICIES
from loadtest.simulator.cells import Cell
from loadtest.simulator.fleets import COMPARED
from loadtest.simulator.run import RatesKnown
from loadtest.traces.generators import GENERATORS

ALL = "all"


@dataclass(frozen=True)
class Options:
    """A grid: every combination of its lists. `like` has what all of its cells have in common."""

    traces: tuple[str, ...]
    fleets: tuple[str, ...]
    policies: tuple[str, ...]
    loads: tuple[float, ...]
    rates: tuple[RatesKnown, ...]
    seeds: int
    model: str | None
    like: dict[str, object]
    out: Path
    jobs: int
    slo_share: float
    find_goodput: bool
    smallest_for: float | None

    def cells(self) -> Iterator[Cell]:
        """Seeds last: a group's runs stand together."""
        for trace, fleet, rates, load, policy in product(
            self.traces, self.fleets, self.rates, self.loads, self.policies
        ):
            yield from self.seeded(trace, fleet, policy, rates, load=load)

    def seeded(
        self,
        trace: str,
        fleet: str,
        policy: str,
        rates: RatesKnown,
        *,
        load: float | None = None,
        rate: float | None = None,
    ) -> Iterator[Cell]:
        """One cell with each of the seeds."""
        for seed in range(self.seeds):
            yield Cell(trace, fleet, policy, load, seed=seed, rates=rates, rate=rate, **self.like)  # type: ignore[arg-type]


QUESTION = mutually_exclusive("Search (in place of the table of all combinations)")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SimulationArguments:
    """The options of the command."""

    trace: Annotated[
        tuple[str, ...],
        LIST,
        Parameter(
            help=f"Files (.jsonl, .csv) or generators ({', '.join(GENERATORS)}), such as shared-prefix:groups=20.",
            metavar="TRACE",
        ),
    ]
    fleet: Annotated[
        tuple[str, ...],
        LIST,
        Parameter(help=f"Presets, fleet files, or the fleets {', '.join(COMPARED)}.", metavar="FLEET"),
    ]
    policy: Annotated[
        tuple[str, ...], LIST, one_of([*POLICIES, ALL]), Parameter(help="Routing policies, or all.", metavar="POLICY")
    ] = (DEFAULT_POLICY,)
    load: Annotated[
        tuple[float, ...],
        LIST,
        POSITIVE,
        Parameter(help="Arriving input tokens/s, over the fleet's prefill rate with empty caches.", metavar="LOAD"),
    ] = (1.0,)
    rates: Annotated[
        tuple[RatesKnown, ...], LIST, Parameter(help="Whether the router learns the speeds.", metavar="RATES")
    ] = ("learned",)
    seeds: Annotated[int, COUNT, Parameter(help="Windows of a trace, or draws of a generator.", metavar="N")] = 3
    requests: Annotated[int, COUNT, Parameter(help="Requests of a window.", metavar="N")] = 2000
    model: Annotated[str | None, Parameter(help="The model of a fleet file with several.", metavar="NAME")] = None
    kv_tokens: Annotated[
        int | None, COUNT, Parameter(help="Size of every replica's KV cache, in tokens.", metavar="N")
    ] = None
    events_ms: Annotated[
        float, NOT_NEGATIVE, Parameter(help="Delay of KV events to the router, in ms.", metavar="MS")
    ] = 5.0
    heartbeat_ms: Annotated[
        float, POSITIVE, Parameter(help="Interval of an engine's load reports, in ms.", metavar="MS")
    ] = 100.0
    decision_ms: Annotated[
        float, NOT_NEGATIVE, Parameter(help="Duration of a routing decision, in ms.", metavar="MS")
    ] = 0.0
    slo_ttft: Annotated[
        float,
        POSITIVE,
        Parameter(help="SLO of the TTFT, in seconds, or 3 x the prompt's own prefill.", metavar="S"),
    ] = 2.0
    slo_tpot: Annotated[float, POSITIVE, Parameter(help="SLO of the time per output token, in s.", metavar="S")] = 0.08
    slo_share: Annotated[
        float, SHARE, Parameter(help="Share of requests within the SLO that a fleet must reach.", metavar="SHARE")
    ] = 0.9
    out: Annotated[Path, Parameter(help="Folder of the results.", metavar="DIR")] = Path("results/simulations")
    jobs: Annotated[int, COUNT, Parameter(help="Processes.", metavar="N")] = 2
    find_goodput: Annotated[bool, Parameter(group=QUESTION, help="Search the highest load within the SLO."), FLAG] = (
        False
    )
    smallest_for: Annotated[
        float | None,
        POSITIVE,
        Parameter(group=QUESTION, help="Search the smallest fleet that sustains so many requests/s.", metavar="RATE"),
    ] = None

    def options(self) -> Options:
        """The grid that they describe."""
        return Options(
            traces=tuple(dict.fromkeys(self.trace)),
            fleets=tuple(dict.fromkeys(self.fleet)),
            policies=tuple(POLICIES) if ALL in self.policy else tuple(dict.fromkeys(self.policy)),
            loads=tuple(dict.fromkeys(self.load)),
            rates=tuple(dict.fromkeys(self.rates)),
            seeds=self.seeds,
            model=self.model,
            like={
                "requests": self.requests,
                "model": self.model,
                "kv_tokens": self.kv_tokens,
                "events_ms": self.events_ms,
                "heartbeat_ms": self.heartbeat_ms,
                "decision_ms": self.decision_ms,
                "slo_ttft_s": self.slo_ttft,
                "slo_tpot_s": self.slo_tpot,
            },
            out=self.out,
            jobs=self.jobs,
            slo_share=self.slo_share,
            find_goodput=self.find_goodput,
            smallest_for=self.smallest_for,
        )
