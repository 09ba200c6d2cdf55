"""Replays traces as real load: `python -m loadtest.replay --trace shared-prefix:rate=5,count=200 --scale 0.1`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.option_types import COUNT, FLAG, INDEX, INTEGER, POSITIVE, mutually_exclusive, one_of
from loadtest import arguments as common
from loadtest.arguments import ServerArguments
from loadtest.command import outcome
from loadtest.commands import REPLAY
from loadtest.latency import Slo
from loadtest.replay.jobs import TEXT_ROUTES
from loadtest.replay.run import Options, run
from loadtest.replay.summary import Judged
from loadtest.traces.generators import GENERATORS

DEFAULT, SLO = Options(traces=()), Slo()
PACE = mutually_exclusive("Pace")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReplayArguments:
    """The options of the command; those of the server are apart."""

    trace: Annotated[
        tuple[str, ...],
        Parameter(
            help=f"A file (.jsonl, .csv) or a generator ({', '.join(GENERATORS)}), such as "
            "shared-prefix:groups=20,rate=5. A prefix model=NAME: names the model. Several traces run at once.",
            metavar="TRACE",
        ),
    ]
    speed: Annotated[
        float, POSITIVE, Parameter(group=PACE, help="Factor on the trace's own speed.", metavar="FACTOR")
    ] = DEFAULT.speed
    rate: Annotated[
        float | None, POSITIVE, Parameter(group=PACE, help="Mean requests/s over the trace.", metavar="RATE")
    ] = None
    start: Annotated[int, INDEX, Parameter(help="Index of the first request.", metavar="N")] = DEFAULT.start
    count: Annotated[int | None, COUNT, Parameter(help="Number of requests; all by default.", metavar="N")] = None
    scale: Annotated[float, POSITIVE, Parameter(help="Factor on all lengths of text.", metavar="FACTOR")] = (
        DEFAULT.scale
    )
    seed: Annotated[
        int, INTEGER, Parameter(help="Seed of generators and prompts; the same seed finds warm caches.", metavar="N")
    ] = DEFAULT.seed
    route: Annotated[str, one_of(TEXT_ROUTES), Parameter(help="Route of text requests.", metavar="ROUTE")] = (
        DEFAULT.route
    )
    free_length: Annotated[bool, Parameter(help="Let the model end its answers, and send no `ignore_eos`."), FLAG] = (
        False
    )
    max_in_flight: Annotated[int, COUNT, Parameter(help="Requests in flight at most.", metavar="N")] = (
        DEFAULT.max_in_flight
    )
    timeout: Annotated[float, POSITIVE, Parameter(help="Timeout of a request, in seconds.", metavar="S")] = (
        DEFAULT.timeout_s
    )
    out: Annotated[Path, Parameter(help="Folder in which the run gets a folder of its own.", metavar="DIR")] = (
        DEFAULT.out
    )
    slo_ttft: Annotated[float, POSITIVE, Parameter(help="SLO of the TTFT, in seconds.", metavar="S")] = SLO.ttft_s
    slo_tpot: Annotated[
        float, POSITIVE, Parameter(help="SLO of the time per output token, in seconds.", metavar="S")
    ] = SLO.tpot_s
    prefill_rate: Annotated[
        float | None,
        POSITIVE,
        Parameter(
            help="Mean prefill rate of the fleet. A prompt may then take 3 times its own prefill where that exceeds "
            "--slo-ttft.",
            metavar="TOKENS/S",
        ),
    ] = None

    def options(self, server: ServerArguments) -> Options:
        """All options of a replay."""
        return Options(
            traces=self.trace,
            fleet=server.fleet,
            endpoint=server.endpoint,
            api_key=server.api_key,
            model=server.model,
            route=self.route,
            whole_answers=not self.free_length,
            scale=self.scale,
            start=self.start,
            count=self.count,
            speed=self.speed,
            rate=self.rate,
            seed=self.seed,
            max_in_flight=self.max_in_flight,
            timeout_s=self.timeout,
            out=self.out,
            judged=Judged(Slo(self.slo_ttft, self.slo_tpot), self.prefill_rate),
        )


def replay(arguments: ReplayArguments, server: ServerArguments = common.SERVER_DEFAULTS) -> int:
    """0: a replay in which something was answered; 1: nothing was; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: run(arguments.options(server)))


def main(arguments: Sequence[str]) -> int:
    return run_command(single(REPLAY, replay), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
