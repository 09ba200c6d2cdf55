"""Options and input files of the two training scripts. Errors in them are reported before the training starts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from cluster.command_line import USAGE_ERROR, application, run
from cluster.option_types import COUNT, INTEGER

Pair = tuple[int, int]

VALUES_PER_SCAN = 64
INK = 16
LARGEST_TERM = 99
PAIRS = (LARGEST_TERM + 1) ** 2


class BadInput(ValueError):
    """A file that cannot be trained on. The message says what is wrong with which, and what it should be."""


HeldOut = Annotated[Path, Parameter(name="--held-out", help="JSON list of what is not trained on.", metavar="FILE")]
Out = Annotated[Path, Parameter(help="The checkpoint to write.", metavar="PATH")]
Steps = Annotated[int, COUNT, Parameter(help="Training steps; the default is that of the shipped one.", metavar="N")]
Seed = Annotated[int, INTEGER, Parameter(help="Seed of the training.", metavar="N")]


def run_training(name: str, description: str | None, train: Callable[..., None], arguments: Sequence[str]) -> int:
    """Runs a training script by its command line. A file that cannot be trained on ends with status 2."""
    app = application(f"python -m {name}", description or "")
    app.default(train)
    try:
        return run(app, arguments)
    except BadInput as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None


def read_digits(file: Path) -> NDArray[np.float64]:
    """[scans, 65]: 64 grey values of 0..16, row by row, and the label. Raises BadInput."""
    try:
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise BadInput(f"{file}: not a readable CSV of numbers: {error}") from None
    if table.shape[1:] != (VALUES_PER_SCAN + 1,):
        raise BadInput(f"{file}: {table.shape[1]} numbers a row instead of {VALUES_PER_SCAN} grey values and a label")
    scans, labels = table[:, :VALUES_PER_SCAN], table[:, VALUES_PER_SCAN]
    if not (((scans >= 0) & (scans <= INK)).all() and np.isin(labels, range(10)).all()):
        raise BadInput(f"{file}: grey values are 0 to {INK} and labels 0 to 9; this holds others")
    return table


def read_rows(file: Path, count: int) -> list[int]:
    """Numbers of the rows that are held out of `count`. Raises BadInput."""
    rows = _list(file)
    if not all(type(row) is int and 0 <= row < count for row in rows) or not 0 < len(set(rows)) == len(rows) < count:
        raise BadInput(f"{file}: expected a JSON list of different row numbers below {count}, and not all of them")
    return rows


def read_pairs(file: Path) -> list[Pair]:
    """Pairs of terms 0 to 99 that are held out. Raises BadInput."""
    pairs = [tuple(pair) if isinstance(pair, list) else () for pair in _list(file)]
    terms = all(type(term) is int and 0 <= term <= LARGEST_TERM for pair in pairs for term in pair)
    if not terms or any(len(pair) != 2 for pair in pairs) or not 0 < len(set(pairs)) == len(pairs) < PAIRS:
        raise BadInput(f"{file}: expected a JSON list of different pairs [a, b] of 0 to {LARGEST_TERM}, and not all")
    return [(a, b) for a, b in pairs]


def new_place(out: Path) -> Path:
    """`out`, which does not exist yet, in a folder that does. Raises BadInput."""
    if out.exists():
        raise BadInput(f"{out} exists already: name a new one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error}") from None
    return out


def _list(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file}: not a readable JSON file: {error}") from None
    return found if isinstance(found, list) else []
