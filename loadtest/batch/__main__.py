"""`python -m loadtest.batch --input FILE.jsonl --output DIR`: plain offline inference, resumable."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.arguments import add_pullers, foreign_load
from loadtest.batch.run import Options, run
from loadtest.command import at_least_one, outcome, positive


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.batch",
        description="Asks a file of OpenAI batch lines (custom_id, method, url, body), each exactly once, and writes "
        "output.jsonl and errors.jsonl in the order in which the answers come. The same command goes on with a batch "
        "that was ended, whatever ended it.",
    )
    parser.add_argument("--input", required=True, type=Path, metavar="FILE", help="FILE.jsonl or FILE.parquet")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--fleet", help="a preset or a fleet file, started for the batch")
    subject.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that runs already")
    parser.add_argument("--api-key", metavar="KEY", help="sent as bearer")
    parser.add_argument("--model", metavar="NAME", help="in place of what the lines name")
    parser.add_argument("--timeout", type=positive, metavar="S", default=3600.0, help="for one request (3600)")
    parser.add_argument("--attempts", type=at_least_one, default=5, help="for one line (5)")
    parser.add_argument("--retry-failed", action="store_true", help="ask the lines in errors.jsonl again")
    add_pullers(parser)
    given = parser.parse_args(arguments)
    return Options(
        source=given.input,
        output=given.output,
        fleet=given.fleet,
        endpoint=given.endpoint,
        api_key=given.api_key,
        model=given.model,
        timeout_s=given.timeout,
        attempts=given.attempts,
        retry_failed=given.retry_failed,
        foreign=foreign_load(given),
    )


def main() -> int:
    """0: every line is answered; 1: some have failed; 2: it could not be run; 130: interrupted."""
    return outcome(lambda: run(parse(sys.argv[1:])), "what was answered is kept; the same command goes on from there")


if __name__ == "__main__":
    sys.exit(main())
