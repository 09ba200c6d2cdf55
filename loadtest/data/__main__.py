"""`python -m loadtest.data`: checks data sets, completes downloads, makes small sets of the official formats."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import DataError
from loadtest.command import Refused, outcome
from loadtest.data.checking import check_sets
from loadtest.data.official import OFFICIAL, Kind
from loadtest.data.reference_prompt import write_reference_prompt
from loadtest.data.repackaging import repack
from loadtest.data.small import make_small


def main(arguments: list[str]) -> int:
    """0: done, or all right; 1: something is wrong with the data; 2: it could not be done; 130: interrupted."""
    given = _parser().parse_args(arguments)
    return outcome(lambda: _run(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="says what is right and wrong with a data set")
    check.add_argument("--benchmark", required=True, choices=list(OFFICIAL))
    check.add_argument("--set", type=Kind, choices=list(Kind), help="default: all that PATH may hold")
    check.add_argument("path", type=Path, metavar="PATH", help="what --data of a test would be given")
    packing = commands.add_parser("repack-librispeech", help="joins LibriSpeech's utterances to MLCommons' clips")
    packing.add_argument("source", type=Path, metavar="DIR", help="holds dev-clean and dev-other as they were unpacked")
    packing.add_argument("out", type=Path, metavar="OUT", help="gets manifest and clips; the same again goes on")
    small = commands.add_parser("make-small", help="writes a small set of the official format, for rehearsals")
    small.add_argument("--benchmark", required=True, choices=list(BENCHMARKS))
    small.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    prompt = commands.add_parser("prompt", help="writes MLCommons' question to Qwen3-VL beside its catalogue")
    prompt.add_argument("checkout", type=Path, metavar="CHECKOUT", help="of mlcommons/inference")
    prompt.add_argument("out", type=Path, metavar="FOLDER", help="the catalogue's")
    return parser


def _run(given: argparse.Namespace) -> bool:
    try:
        if given.command == "check":
            return check_sets(given.benchmark, given.path, given.set)
        if given.command == "repack-librispeech":
            repack(given.source, given.out)
        elif given.command == "prompt":
            write_reference_prompt(given.checkout, given.out)
        else:
            make_small(given.benchmark, given.out)
    except (DataError, OSError) as error:
        raise Refused(str(error)) from error
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
