"""Fleet files, checkpoints and the cluster they run on: `python -m cluster COMMAND`, see --help."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App

from cluster.command_line import add, application, run
from cluster.commands import COMMANDS

DESCRIPTION = "Fleet files, checkpoints, and the cluster that a fleet runs on."


def app() -> App:
    """The application of `python -m cluster`."""
    commands = application("python -m cluster", DESCRIPTION)
    for command in COMMANDS:
        add(commands, command)
    return commands


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done; 1: a check failed; 2: a wrong command line, or an invalid fleet file; 130: interrupted."""
    return run(app(), sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
