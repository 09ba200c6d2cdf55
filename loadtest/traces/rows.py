"""Rows of a JSONL or CSV file, each with the number of its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from loadtest.traces.trace import TraceError

Row = Mapping[str, Any]
"""Column -> value; text in a CSV file, JSON values in a JSONL file."""


def numbered_rows(file: Path) -> Iterator[tuple[int, Row]]:
    """(line number from 1, row) of every row; blank lines are skipped. Raises TraceError."""
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise TraceError(f"{file}: a trace file ends in {' or '.join(_READERS)}")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            yield from reader(file, opened)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{file}: cannot be read: {error}") from None


def _jsonl(file: Path, opened: TextIO) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(opened, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TraceError(f"{file}:{number}: no JSON: {error}") from None
        if not isinstance(row, dict):
            raise TraceError(f"{file}:{number}: a row must be a JSON object with named columns")
        yield number, row


def _csv(file: Path, opened: TextIO) -> Iterator[tuple[int, Row]]:
    rows = csv.DictReader(opened, strict=True)
    for row in rows:
        if None in row or None in row.values():
            raise TraceError(f"{file}:{rows.line_num}: not as many values as the heading has columns")
        yield rows.line_num, row


_READERS = {".jsonl": _jsonl, ".csv": _csv}
