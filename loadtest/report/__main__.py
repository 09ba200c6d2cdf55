"""`python -m loadtest.report FOLDER...`: one table of the runs in these result folders."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.report.text import text_table
from loadtest.results import SUMMARY, read_summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="runs, or folders of runs")
    runs = sorted(file.parent for folder in parser.parse_args().folders for file in folder.rglob(SUMMARY))
    if not runs:
        parser.error(f"no {SUMMARY} in these folders")
    try:
        print(text_table([read_summary(run) for run in runs]))
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
