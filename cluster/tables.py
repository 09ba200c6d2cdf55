"""Tables: drawn by rich on a terminal, plain aligned lines of any width elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

GOOD, BAD = ("VALID", "PASS", "ok"), ("INVALID", "FAIL", "WRONG")
"""First words of cells that a terminal colours green and red."""


@dataclass(frozen=True)
class Table:
    """Every row has as many cells as there are headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


Part = Table | str
"""Of an output: a table, or lines between tables."""


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The plain lines of a table, headings and a rule first."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [drawn[0], "  ".join("-" * width for width in widths), *drawn[1:]]


def plain(parts: Sequence[Part]) -> str:
    """What a log or a pipe gets."""
    return "\n".join(
        line for part in parts for line in ([part] if isinstance(part, str) else aligned(part.headings, part.rows))
    )


def show(*parts: Part) -> None:
    """Prints to standard output."""
    if not sys.stdout.isatty():
        print(plain(parts), flush=True)
        return
    from rich.console import Console  # a tenth of a second, which a pipe does not wait for

    console = Console(highlight=False)
    for renderable in drawn(parts, console):
        console.print(renderable)


def drawn(parts: Sequence[Part], console: Console) -> Iterator[RenderableType]:
    """What a terminal gets, within its width."""
    from rich.text import Text

    for part in parts:
        yield Text(part) if isinstance(part, str) else _drawn_table(part, console)


def _drawn_table(table: Table, console: Console) -> RenderableType:
    """Cells are wrapped where the terminal is narrow; where not even their words fit, each row becomes a list."""
    from rich.box import SIMPLE_HEAD
    from rich.measure import Measurement
    from rich.table import Table as RichTable

    found = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in table.headings:
        found.add_column(heading, overflow="fold")
    for row in table.rows:
        found.add_row(*map(_cell, row))
    unbounded = console.options.update(max_width=sys.maxsize)
    fits = Measurement.get(console, unbounded, found).minimum <= console.width
    return found if fits or len(table.headings) < 3 else _listed(table)


def _listed(table: Table) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table as RichTable

    found = RichTable.grid(padding=(0, 2))
    found.add_column(style="bold")
    found.add_column(overflow="fold")
    for number, row in enumerate(table.rows):
        if number:
            found.add_row("", "")
        for heading, cell in zip(table.headings, row, strict=True):
            found.add_row(heading, _cell(cell))
    return Padding(found, (0, 0, 1, 0))


def _cell(text: str) -> RenderableType:
    from rich.text import Text

    first = text.split(" ", 1)[0]
    return Text(text, style="green" if first in GOOD else "red" if first in BAD else "")
