"""The command line of all packages: cyclopts applications that print usage errors and return exit statuses alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter

from cluster.usage_errors import message

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 500
"""Columns of help that no terminal shows: more than its longest line has."""

USAGE_ERROR = 2
"""Exit status where the command line itself is wrong."""

DEFAULTS = Parameter(negative=(), allow_repeating=True)
"""Flags have no `--no-` form; of an option that is repeated the last value holds, and a list grows."""


@dataclass(frozen=True)
class Command:
    """An entry of a package's table of commands. Reading the table imports none of the commands.

    Attributes:
        name: its words after `mixfleet`, such as `data check`.
        function: `module:function`, imported when the command is used.
        group: heading under which the help lists it.
        module: the module that runs the same command: `python -m MODULE`, with a sub-command where it has some.
        help: a sentence, a blank line, and what else there is to say.
    """

    name: str
    function: str
    group: str
    module: str
    help: str


def application(name: str, description: str = "", version: Callable[[], str] | None = None) -> App:
    """An application without commands; a group of commands once it has some."""
    app = App(
        name=name,
        help=description,
        version=version,
        version_flags="--version" if version else (),
        default_parameter=DEFAULTS,
        help_format="plaintext",
        help_formatter="default" if sys.stdout.isatty() else "plain",
        result_action="return_value",
    )
    for flag in (*app.help_flags, *app.version_flags):
        app[flag].group = help_group("Options")
    return app


def add(app: App, command: Command) -> None:
    """Adds a command by its import path, under the last of its words."""
    app.command(command.function, name=command.name.split()[-1], help=command.help, group=help_group(command.group))


@cache
def help_group(title: str) -> Group:
    """A heading of the help. Headings stand in the order in which they are first used."""
    return Group.create_ordered(title)


def single(command: Command, function: Callable[..., int | None]) -> App:
    """The application of `python -m MODULE` for a module that is one command."""
    app = application(f"python -m {command.module}", command.help)
    app.default(function)
    for flag in app.help_flags:
        app[flag].show = False  # as cyclopts does below a group of commands
    return app


def run(app: App, arguments: Sequence[str]) -> int:
    """Runs the command that `arguments` name and returns its exit status. Raises SystemExit(2) on a usage error."""
    with _usage_errors(app, arguments):
        _require_command(app, arguments)
        status = app(list(arguments), exit_on_error=False, print_error=False, console=_help_console(app, arguments))
    return int(status or 0)


def print_json(value: Any) -> None:
    """Prints what a script reads in place of a table."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str), flush=True)


def _require_command(app: App, arguments: Sequence[str]) -> None:
    """A group of commands without a command is a usage error, as a missing option is."""
    _, apps, rest = app.parse_commands(list(arguments))
    if not rest and apps[-1].default_command is None:
        _refuse(app, arguments, f"a command is missing; choose one of {', '.join(command_names(apps[-1]))}")


def _help_console(app: App, arguments: Sequence[str]) -> Console | None:
    """Help that is piped is not wrapped; cyclopts itself takes 80 columns then."""
    if sys.stdout.isatty() or not {*app.help_flags} & {*arguments}:
        return None
    from rich.console import Console  # only those who read help wait for it

    return Console(width=PIPED_WIDTH)


@contextmanager
def _usage_errors(app: App, arguments: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except CycloptsError as error:
        _refuse(app, arguments, message(error, command_names(app.parse_commands(list(arguments))[1][-1])))


def command_names(app: App) -> list[str]:
    """Names of a group's commands; nothing is imported."""
    return [name for name in app if not name.startswith("-")]


def _refuse(app: App, arguments: Sequence[str], text: str) -> NoReturn:
    chain, apps, _ = app.parse_commands(list(arguments))
    form = "COMMAND ..." if command_names(apps[-1]) else "[OPTIONS] ..."
    words = " ".join([app.name[0], *chain])
    print(f"usage: {words} {form}\nerror: {text} ({words} --help explains)", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)
