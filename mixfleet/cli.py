"""The command `mixfleet`: the commands of all packages, each imported only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App

from cluster import commands as cluster
from cluster.command_line import add, application, help_group, run
from deployments import commands as deployments
from loadtest import commands as loadtest
from loadtest.command import leave

DESCRIPTION = """Whisper, Qwen3-VL and GPT-OSS on vLLM behind one OpenAI-compatible gateway on Ray.

A fleet file says which models run in which pools. Start a fleet with `serve run deployments:app [fleet=FLEET]`;
the commands below check it, look after it and measure it. `gateway` alone serves in front of servers that run already.
Exit statuses are 0, 1 (a check or a measurement failed), 2 (a usage error, or it could not run) and 130 (interrupted).

For example:

  mixfleet doctor
  mixfleet validate my-fleet.yaml
  mixfleet status --watch
  mixfleet offline --benchmark gpt-oss --quick
"""


def app() -> App:
    """The application, with all its commands unimported."""
    mixfleet = application("mixfleet", DESCRIPTION, _version)
    for command in (*cluster.COMMANDS, *deployments.COMMANDS, *loadtest.COMMANDS):
        add(mixfleet, command)
    data = application("data", loadtest.DATA_HELP)
    for command in loadtest.DATA_COMMANDS:
        add(data, command)
    data.group = help_group(loadtest.DATA)
    mixfleet.command(data)
    mixfleet.register_install_completion_command(
        help="Install completion for this shell (bash, zsh, fish).", group=help_group("Options")
    )
    return mixfleet


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit status."""
    leave(run(app(), sys.argv[1:] if arguments is None else arguments))


def _version() -> str:
    from importlib.metadata import version  # a tenth of a second

    return version("mixfleet")
