"""`python -m loadtest.data`: checks data sets, completes downloads, makes small sets of the official formats."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cluster.command_line import add, application, run
from cluster.option_types import Json, by_value, one_of
from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.base import DataError
from loadtest.command import Refused, outcome
from loadtest.commands import DATA_COMMANDS, DATA_HELP
from loadtest.data.checking import check_sets
from loadtest.data.official import OFFICIAL, Kind
from loadtest.data.reference_prompt import write_reference_prompt
from loadtest.data.repackaging import repack
from loadtest.data.small import make_small

OutFolder = Annotated[Path, Parameter(help="A new folder.", metavar="OUT")]


def check(
    path: Annotated[Path, Parameter(help="The value that --data of a test would have.", metavar="PATH")],
    /,
    *,
    benchmark: Annotated[str, one_of(OFFICIAL), Parameter(help="The benchmark of the data set.", metavar="NAME")],
    kind: Annotated[
        Kind | None,
        by_value(Kind),
        Parameter(name="--set", help="Which of its sets; without it, all that PATH may hold.", metavar="SET"),
    ] = None,
    as_json: Json = False,
) -> int:
    """0: all right; 1: something is wrong with the data; 2: it could not be checked; 130: interrupted."""
    return _outcome(lambda: check_sets(benchmark, path, kind, as_json))


def repack_librispeech(
    source: Annotated[Path, Parameter(help="Holds dev-clean and dev-other, as unpacked.", metavar="DIR")],
    out: Annotated[Path, Parameter(help="Gets the manifest and the clips.", metavar="OUT")],
    /,
) -> int:
    """0: done; 2: it could not be done; 130: interrupted."""
    return _outcome(lambda: repack(source, out))


def small(
    out: OutFolder,
    /,
    *,
    benchmark: Annotated[str, one_of(BENCHMARKS), Parameter(help="The benchmark of the data set.", metavar="NAME")],
) -> int:
    """0: done; 2: it could not be done; 130: interrupted."""
    return _outcome(lambda: make_small(benchmark, out))


def prompt(
    checkout: Annotated[Path, Parameter(help="A checkout of mlcommons/inference.", metavar="CHECKOUT")],
    folder: Annotated[Path, Parameter(help="The folder of the catalogue.", metavar="FOLDER")],
    /,
) -> int:
    """0: done; 2: it could not be done; 130: interrupted."""
    return _outcome(lambda: write_reference_prompt(checkout, folder))


def app() -> App:
    """The application of `python -m loadtest.data`."""
    commands = application("python -m loadtest.data", DATA_HELP)
    for command in DATA_COMMANDS:
        add(commands, command)
    return commands


def main(arguments: Sequence[str]) -> int:
    return run(app(), arguments)


def _outcome(command: Callable[[], object]) -> int:
    """A command that returns False has found something wrong."""

    def done() -> bool:
        try:
            return command() is not False
        except (DataError, OSError) as error:
            raise Refused(str(error)) from error

    return outcome(done)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
