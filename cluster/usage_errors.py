"""Messages for what is wrong with a command line: one plain line each, on a terminal and in a log alike."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from cyclopts import (
    Argument,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnusedCliTokensError,
    ValidationError,
)


def message(error: CycloptsError, commands: Sequence[str]) -> str:
    """`commands`: those that were possible where the error is."""
    error.verbose = False
    if isinstance(error, UnknownCommandError):
        return _unknown_command((error.unused_tokens or [""])[0], commands)
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument '{(error.unused_tokens or [''])[0]}'"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        without_value = error.keyword or any(token.keyword for token in error.argument.tokens)
        return f"{_name(error.argument)} {'needs a value' if without_value else 'is required'}"
    if isinstance(error, ValidationError):
        return f"{_name(error.argument)}: {error.exception_message}" if error.argument else error.exception_message
    if isinstance(error, CoercionError) and error.argument is not None and error.token is not None:
        return f"{_name(error.argument)}: {_not_converted(error, error.argument, error.token.value)}"
    text = str(error).rstrip(".")
    return text[:1].lower() + text[1:]


def _name(argument: Argument) -> str:
    keywords = [token.keyword for token in argument.tokens if token.keyword]
    if keywords or argument.name.startswith("-"):
        return keywords[-1] if keywords else argument.name
    return argument.parameter.metavar or argument.name


def _not_converted(error: CoercionError, argument: Argument, value: str) -> str:
    if choices := argument.get_choices(force=True):
        return f"invalid choice: '{value}' (choose from {', '.join(choices)})"
    return str(error.msg) if error.msg else f"'{value}' is not {_KINDS.get(error.target_type, 'a valid value')}"


_KINDS: dict[type | None, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _unknown_command(word: str, commands: Sequence[str]) -> str:
    near = get_close_matches(word, commands, n=1)
    return f"unknown command '{word}'; {f'did you mean {near[0]}? ' if near else ''}choose one of {', '.join(commands)}"
