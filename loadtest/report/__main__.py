"""`python -m loadtest.report FOLDER...`: one table of the runs in these result folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import print_json, run, single
from cluster.option_types import Json
from cluster.tables import show
from loadtest.commands import REPORT
from loadtest.report.text import run_table
from loadtest.results import SUMMARY, read_summary


def report(
    folders: Annotated[list[Path], Parameter(help="Runs, or folders of runs.", metavar="FOLDER")],
    /,
    *,
    as_json: Json = False,
) -> int:
    """0: printed; 2: no runs there, or a damaged one."""
    runs = sorted(file.parent for folder in folders for file in folder.rglob(SUMMARY))
    if not runs:
        print(f"error: no {SUMMARY} in these folders", file=sys.stderr)
        return 2
    try:
        summaries = [read_summary(folder) for folder in runs]
        parts = run_table(summaries)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error!r}", file=sys.stderr)
        return 2
    if as_json:
        print_json([{"folder": str(folder), **summary} for folder, summary in zip(runs, summaries, strict=True)])
    else:
        show(*parts)
    return 0


def main(arguments: Sequence[str]) -> int:
    return run(single(REPORT, report), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
