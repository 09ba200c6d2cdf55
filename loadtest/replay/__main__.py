"""Replays traces as real load: `python -m loadtest.replay --trace shared-prefix:rate=5,count=200 --scale 0.1`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.command import at_least_one, outcome, positive
from loadtest.latency import Slo
from loadtest.replay.jobs import TEXT_ROUTES
from loadtest.replay.run import Options, run
from loadtest.replay.summary import Judged
from loadtest.traces.generators import GENERATORS

DEFAULT = Options(traces=())


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.replay",
        description="Replays traces over HTTP in an open loop: requests leave at their times, whatever the answers do. "
        "Without --fleet and --endpoint it takes the running fleet, else it starts the embedded one and stops it "
        "afterwards.",
    )
    parser.add_argument(
        "--trace",
        required=True,
        action="append",
        metavar="TRACE",
        help=f"a file (.jsonl, .csv), or a generator ({', '.join(GENERATORS)}) such as shared-prefix:groups=20,rate=5; "
        "model=NAME: before it says who is asked; several are played at once",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--fleet", help="a preset or a fleet file, which is started")
    subject.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that runs already")
    parser.add_argument("--api-key", metavar="KEY", help="sent as bearer")
    parser.add_argument("--model", metavar="NAME", help="who is asked where a trace does not say")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=positive, default=DEFAULT.speed, help="times the trace's own (1)")
    pace.add_argument("--rate", type=positive, help="requests/s, on average over the trace")
    parser.add_argument("--start", type=_not_negative, default=DEFAULT.start, help="number of the first request (0)")
    parser.add_argument("--count", type=at_least_one, help="requests (all)")
    parser.add_argument("--scale", type=positive, default=DEFAULT.scale, help="factor on all lengths of text (1)")
    parser.add_argument(
        "--seed",
        type=int,
        default=DEFAULT.seed,
        help="of generators and prompts: the same one finds warm caches (0)",
    )
    parser.add_argument("--route", choices=list(TEXT_ROUTES), default=DEFAULT.route, help="for text (completions)")
    parser.add_argument(
        "--free-length", action="store_true", help="let answers end where they will, and send no `ignore_eos`"
    )
    parser.add_argument("--max-in-flight", type=at_least_one, default=DEFAULT.max_in_flight, help="(4096)")
    parser.add_argument("--timeout", type=positive, metavar="S", default=DEFAULT.timeout_s, help="of a request (600)")
    parser.add_argument("--out", type=Path, metavar="DIR", default=DEFAULT.out, help="default: results")
    slo = Slo()
    parser.add_argument("--slo-ttft", type=positive, metavar="S", default=slo.ttft_s, help="time to first token (2)")
    parser.add_argument("--slo-tpot", type=positive, metavar="S", default=slo.tpot_s, help="time per token (0.08)")
    parser.add_argument(
        "--prefill-rate",
        type=positive,
        metavar="TOKENS/S",
        help="the fleet's mean rate; a prompt may then take 3 times its own prefill where that exceeds --slo-ttft",
    )
    given = parser.parse_args(arguments)
    return Options(
        traces=tuple(given.trace),
        fleet=given.fleet,
        endpoint=given.endpoint,
        api_key=given.api_key,
        model=given.model,
        route=given.route,
        whole_answers=not given.free_length,
        scale=given.scale,
        start=given.start,
        count=given.count,
        speed=given.speed,
        rate=given.rate,
        seed=given.seed,
        max_in_flight=given.max_in_flight,
        timeout_s=given.timeout,
        out=given.out,
        judged=Judged(Slo(given.slo_ttft, given.slo_tpot), given.prefill_rate),
    )


def main() -> int:
    """0: a replay in which something was answered; 1: nothing was; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: run(parse(sys.argv[1:])))


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
