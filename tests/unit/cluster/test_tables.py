from __future__ import annotations

import io

import pytest
from rich.console import Console

from cluster.tables import Table, drawn, plain, show

WIDE = Table(("name", "what", "verdict"), [("a" * 50, "some words that may be wrapped " * 3, "VALID"), ("b", "", "-")])


def on_terminal(columns: int, table: Table = WIDE) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=columns, color_system=None)
    for part in drawn([table, "below"], console):
        console.print(part)
    output = console.file
    assert isinstance(output, io.StringIO)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_lines_for_a_pipe_are_of_any_width(capsys: pytest.CaptureFixture[str]) -> None:
    show(WIDE, "below")
    lines = capsys.readouterr().out.splitlines()
    assert lines == plain([WIDE, "below"]).splitlines()
    assert len(lines) == 5
    assert len(lines[2]) > 150
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_wraps_cells_to_its_width() -> None:
    lines = on_terminal(80)
    assert lines[0].split() == ["name", "what", "verdict"]
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) > 5
    assert lines[-1] == "below"


def test_a_narrow_terminal_lists_each_row() -> None:
    lines = on_terminal(40)
    assert all(len(line) <= 40 for line in lines)
    assert [line.split()[0] for line in lines if line[:1].isalpha()] == ["name", "what", "verdict"] * 2 + ["below"]
