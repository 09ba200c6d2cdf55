"""`python -m loadtest.compare RUN RUN...`: runs side by side, and beside published results of the same test."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.tables import aligned
from loadtest.command import Refused, outcome
from loadtest.compare.page import page
from loadtest.compare.runs import Run, by_test, read_runs
from loadtest.compare.sides import side_by_side
from loadtest.compare.standing import HEADINGS, measured_as_published, remarks, standings
from loadtest.results import write_text


def text(runs: Sequence[Run]) -> str:
    """For a terminal."""
    lines: list[str] = []
    for members in by_test(runs).values():
        lines += [*aligned(*side_by_side(members)), ""]
    for test, members in measured_as_published(runs).items():
        lines += [f"{test}, published:", *aligned(HEADINGS, [standing.row for standing in standings(members)]), ""]
    return "\n".join([*lines, *remarks(runs)]).rstrip()


def main(arguments: list[str]) -> int:
    """0: compared; 2: refused."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a page with plots there, such as compare.html")
    given = parser.parse_args(arguments)

    def compare() -> bool:
        runs = read_runs(given.runs)
        print(text(runs))
        if given.out is not None:
            _write(given.out, page(runs))
        return True

    return outcome(compare)


def _write(file: Path, content: str) -> None:
    try:
        write_text(file, content)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from None
    print(f"page: {file}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
