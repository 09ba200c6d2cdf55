"""What a form of trace file is, and how its values are read."""

from __future__ import annotations

import math
from typing import Any, Protocol

from loadtest.traces.rows import Row
from loadtest.traces.trace import TraceError, TraceRequest


class Form(Protocol):
    """Columns and their meaning. One file each; `loadtest.traces.forms.FORMS` lists them."""

    name: str
    columns: frozenset[str]
    """Those that a row must have; they tell the form."""

    def request(self, row: Row) -> tuple[float, TraceRequest]:
        """(time of arrival in seconds on the file's own clock, the request at 0 s). Raises KeyError and ValueError."""


def count(row: Row, column: str) -> int:
    """A whole number. Raises TraceError for anything else."""
    value = number(row, column)
    if value != int(value):
        raise TraceError(f"{column} is {row[column]!r}, not a whole number")
    return int(value)


def number(row: Row, column: str) -> float:
    """A finite number. Raises TraceError for anything else."""
    given = row[column]
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise TraceError(f"{column} is {given!r}, not a number")
    return value


def ids(given: Any, column: str) -> tuple[int, ...]:
    """A list of whole numbers. Raises TraceError for anything else."""
    if not isinstance(given, list) or any(type(item) is not int for item in given):
        raise TraceError(f"{column} is {given!r}, not a list of whole numbers")
    return tuple(given)
