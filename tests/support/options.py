"""The options that a command line becomes, without running the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch


def options_of(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> Any:
    """What the command of `main` passes to the `run` of its module. Raises SystemExit on a usage error."""
    with patch(f"{main.__module__}.run") as run:
        assert main(arguments) == 0
    (options,) = run.call_args.args
    return options
