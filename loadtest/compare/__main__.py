"""`python -m loadtest.compare RUN RUN...`: runs side by side, and beside published results of the same test."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cluster.command_line import print_json, single
from cluster.command_line import run as run_command
from cluster.option_types import Json
from cluster.tables import Part, Table, show
from loadtest.command import Refused, outcome
from loadtest.commands import COMPARE
from loadtest.compare.page import page
from loadtest.compare.runs import Run, by_test, read_runs
from loadtest.compare.sides import side_by_side
from loadtest.compare.standing import HEADINGS, measured_as_published, remarks, standings
from loadtest.results import write_text


def parts(runs: Sequence[Run]) -> list[Part]:
    """For a terminal."""
    found: list[Part] = []
    for members in by_test(runs).values():
        found += [Table(*side_by_side(members)), ""]
    for test, members in measured_as_published(runs).items():
        found += [f"{test}, published:", Table(HEADINGS, [standing.row for standing in standings(members)]), ""]
    found += remarks(runs)
    return found[:-1] if found[-1] == "" else found


def as_dict(runs: Sequence[Run]) -> dict[str, Any]:
    """For a script: the runs' own summaries, and the tables with a key per heading."""
    tests, published = by_test(runs), measured_as_published(runs)
    return {
        "runs": [{"name": run.name, "folder": str(run.folder), **run.summary} for run in runs],
        "tests": [{"test": test.title, "figures": _records(*side_by_side(members))} for test, members in tests.items()],
        "published": [
            {"test": str(test), "results": _records(HEADINGS, [standing.row for standing in standings(members)])}
            for test, members in published.items()
        ],
        "remarks": list(remarks(runs)),
    }


def compare(
    folders: Annotated[list[Path], Parameter(help="Folders of runs.", metavar="RUN")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="Write a page with plots there, such as compare.html.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> int:
    """0: compared; 2: refused."""

    def compared() -> bool:
        runs = read_runs(folders)
        if as_json:
            print_json(as_dict(runs))
        else:
            show(*parts(runs))
        if out is not None:
            _write(out, page(runs))
            print(f"page: {out}", file=sys.stderr if as_json else sys.stdout)
        return True

    return outcome(compared)


def main(arguments: Sequence[str]) -> int:
    return run_command(single(COMPARE, compare), arguments)


def _records(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    return [dict(zip(headings, row, strict=True)) for row in rows]


def _write(file: Path, content: str) -> None:
    try:
        write_text(file, content)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
