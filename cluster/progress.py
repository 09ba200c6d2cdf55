"""How far a long step is: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

LINE_EVERY_S = 10.0


class Progress:
    """Samples answered of samples issued, or of whatever `unit` names."""

    def __init__(self, title: str, unit: str = "samples") -> None:
        self._title, self._unit = title, unit
        self._bar: tuple[Bar, TaskID] | None = None
        self._printed = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()

    def update(self, issued: int, answered: int, seconds: float, note: str = "") -> None:
        """`seconds`: since the first sample was issued. `note` stands beside."""
        now = time.monotonic()
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = _start_bar(self._title, self._unit)
            bar, task = self._bar
            rate = f"{answered / seconds:.1f} a second" if seconds > 0 else ""
            bar.update(task, total=issued, completed=answered, rate=rate, note=note)
        elif now - self._printed >= LINE_EVERY_S or answered == issued:
            self._printed = now
            print(self._line(issued, answered, seconds, note), file=sys.stderr, flush=True)

    def _line(self, issued: int, answered: int, seconds: float, note: str) -> str:
        rate = answered / seconds if seconds > 0 else 0.0
        left = f", {(issued - answered) / rate:.0f} s left" if rate and answered < issued else ""
        return f"{self._title}: {answered} of {issued} {self._unit}, {rate:.1f} a second{left}{note and f', {note}'}"


def _start_bar(title: str, unit: str) -> tuple[Bar, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f} of {task.total:.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
        # Else what is printed meanwhile would go to standard error, even where standard output is a file.
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.start()
    return bar, bar.add_task(title, total=1, unit=unit, rate="", note="")
