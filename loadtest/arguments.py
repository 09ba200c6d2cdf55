"""Options that several commands of the load test have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cluster.option_types import COUNT, FLAG, POSITIVE, by_value, mutually_exclusive, one_of
from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.loadgen.rounds import Round
from loadtest.run import Options
from loadtest.target import ForeignLoad

SCENARIOS = {scenario.lower(): scenario for scenario in Scenario}
SERVER = mutually_exclusive("Server (default: the running fleet, else the embedded one is started)")

BenchmarkName = Annotated[str, one_of(BENCHMARKS), Parameter(help="The benchmark to run.", metavar="NAME")]
OptionalBenchmarkName = Annotated[
    str | None, one_of(BENCHMARKS), Parameter(help="The benchmark to run.", metavar="NAME")
]
ScenarioName = Annotated[str, one_of(SCENARIOS), Parameter(help="The MLPerf scenario.", metavar="NAME")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServerArguments:
    """The server to measure."""

    fleet: Annotated[
        str | None, Parameter(group=SERVER, help="A preset or a fleet file, started for this run.", metavar="FLEET")
    ] = None
    endpoint: Annotated[
        str | None, Parameter(group=SERVER, help="An OpenAI-compatible server that runs already.", metavar="URL")
    ] = None
    api_key: Annotated[str | None, Parameter(help="API key, sent as a bearer token.", metavar="KEY")] = None
    model: Annotated[
        str | None, Parameter(help="The model to send requests to, where there are several.", metavar="NAME")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ForeignLoadArguments:
    """How hard an endpoint is driven that does not list its replicas."""

    pullers: Annotated[
        int, COUNT, Parameter(help="Workers that send to an --endpoint which lists no replicas.", metavar="N")
    ] = ForeignLoad().pullers
    window: Annotated[int, COUNT, Parameter(help="Requests in flight of each of these workers.", metavar="N")] = (
        ForeignLoad().window
    )

    def load(self) -> ForeignLoad:
        return ForeignLoad(self.pullers, self.window)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LoadGenArguments:
    """What every test of LoadGen's takes."""

    data: Annotated[
        Path | None, Parameter(help="The official data set; without it, the small embedded one.", metavar="PATH")
    ] = None
    round: Annotated[Round, by_value(Round), Parameter(help="The MLPerf round whose rules hold.", metavar="ROUND")] = (
        Round.V6_1
    )
    out: Annotated[Path, Parameter(help="Folder in which the run gets a folder of its own.", metavar="DIR")] = Path(
        "results"
    )
    quick: Annotated[bool, Parameter(help="One pass over few samples, in seconds; never an MLPerf result."), FLAG] = (
        False
    )
    passes: Annotated[int, COUNT, Parameter(help="Passes of a quick run over its samples.", metavar="N")] = 1
    timeout: Annotated[float, POSITIVE, Parameter(help="Timeout of a request, in seconds.", metavar="S")] = 3600.0
    attempts: Annotated[int, COUNT, Parameter(help="Attempts for a sample, retries included.", metavar="N")] = 5


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OnlineArguments(LoadGenArguments):
    """As all tests, but without retries: in an online scenario a failed query has failed."""

    attempts: Annotated[int, COUNT, Parameter(help="Attempts for a sample, retries included.", metavar="N")] = 1


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModeArguments:
    """Performance or accuracy, for commands that run both."""

    mode: Annotated[Mode, by_value(Mode), Parameter(help="What to measure.", metavar="MODE")] = Mode.PERFORMANCE
    resume: Annotated[
        Path | None, Parameter(help="Continue the interrupted accuracy run in this folder.", metavar="DIR")
    ] = None


SERVER_DEFAULTS, FOREIGN_DEFAULTS = ServerArguments(), ForeignLoadArguments()
LOADGEN_DEFAULTS, ONLINE_DEFAULTS, MODE_DEFAULTS = LoadGenArguments(), OnlineArguments(), ModeArguments()


def options_of(
    benchmark: str, scenario: Scenario, server: ServerArguments, test: LoadGenArguments, **more: Any
) -> Options:
    """Options of a test, from those that the commands share and `more` of one command's own."""
    return Options(
        benchmark=benchmark,
        scenario=scenario,
        fleet=server.fleet,
        endpoint=server.endpoint,
        model=server.model,
        api_key=server.api_key,
        data=test.data,
        round=test.round,
        out=test.out,
        quick=test.quick,
        passes=test.passes,
        timeout_s=test.timeout,
        attempts=test.attempts,
        **more,
    )
