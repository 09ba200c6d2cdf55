"""MLPerf Offline: `python -m loadtest.offline --benchmark whisper|qwen3-vl|gpt-oss`."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import Mode
from loadtest.command import INTERRUPTED, Refused, at_least_one, positive
from loadtest.run import Options, run
from loadtest.target import ForeignLoad


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.offline",
        description="One MLPerf Offline test with MLCommons' LoadGen, as a Ray Data job. Without --fleet and "
        "--endpoint it takes the running fleet, else it starts the embedded one and stops it afterwards.",
    )
    parser.add_argument("--benchmark", required=True, choices=list(BENCHMARKS))
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--fleet", help="a preset or a fleet file; it is started in MLPerf mode")
    subject.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that runs already")
    parser.add_argument("--model", metavar="NAME", help="the model to test, where the endpoint serves several")
    parser.add_argument("--api-key", metavar="KEY", help="sent as bearer")
    parser.add_argument("--data", type=Path, metavar="PATH", help="the official data set (default: the embedded one)")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.PERFORMANCE)
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("results"), help="default: results")
    parser.add_argument("--quick", action="store_true", help="one pass over few samples; never an MLPerf result")
    parser.add_argument(
        "--target-qps", type=positive, metavar="RATE", help="samples/s you expect; sets how long an official run lasts"
    )
    parser.add_argument("--timeout", type=positive, metavar="S", default=3600.0, help="for one request (3600)")
    parser.add_argument("--attempts", type=at_least_one, default=5, help="for one sample (5)")
    default = ForeignLoad()
    parser.add_argument("--pullers", type=at_least_one, default=default.pullers, help="for an --endpoint of others (2)")
    parser.add_argument("--window", type=at_least_one, default=default.window, help="requests in flight of each (32)")
    given = parser.parse_args(arguments)
    return Options(
        benchmark=given.benchmark,
        mode=given.mode,
        quick=given.quick,
        fleet=given.fleet,
        endpoint=given.endpoint,
        model=given.model,
        data=given.data,
        out=given.out,
        target_qps=given.target_qps,
        timeout_s=given.timeout,
        attempts=given.attempts,
        api_key=given.api_key,
        foreign=ForeignLoad(given.pullers, given.window),
    )


def main() -> int:
    """0: a valid result; 1: an invalid one; 2: it could not be run; 130: interrupted."""
    try:
        return 0 if run(parse(sys.argv[1:])) else 1
    except Refused as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was measured is kept and marked so", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    code = main()
    if any(thread.name == "loadgen" for thread in threading.enumerate()):
        # LoadGen has no way to stop a test: its thread waits for answers that will not come, and would crash in exit().
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
