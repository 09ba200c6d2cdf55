"""Progress of long steps: a bar with bytes, rate and time left on a terminal, a line per step elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

REPORT_EVERY_S = 10.0


class Progress(Protocol):
    """Where a long step tells how far it is."""

    def step(self, message: str) -> None:
        """Says what happens next."""

    def transfer(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Opens a transfer of `total` bytes; the function it gives takes the bytes done so far, all together."""


class Console:
    """Progress for a person: bars where the stream is a terminal, lines where it is a log."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def step(self, message: str) -> None:
        print(message, file=self._stream, flush=True)

    def transfer(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return self._bar(label, total) if self._stream.isatty() else self._lines(label, total)

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[size]}"),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
        )
        # Rich draws nothing on a terminal without a size; shutil then takes 80 by 24.
        terminal = Terminal(file=self._stream, width=shutil.get_terminal_size().columns)
        with Progress(*columns, console=terminal, redirect_stdout=False, redirect_stderr=False) as bar:
            task = bar.add_task(label, total=total, size=_size(0, total))
            yield lambda done: bar.update(task, completed=done, size=_size(done, total))

    @contextmanager
    def _lines(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        started = reported = time.monotonic()
        most = 0

        def rate() -> float:
            return most / 1e6 / max(time.monotonic() - started, 1e-9)

        def advance(done: int) -> None:
            nonlocal most, reported
            most = max(most, done)
            if time.monotonic() - reported >= REPORT_EVERY_S:
                reported = time.monotonic()
                self.step(f"{label}: {most / 1e6:.1f} of {total / 1e6:.1f} MB, {rate():.1f} MB/s")

        self.step(f"{label}: {total / 1e6:.1f} MB")
        yield advance
        self.step(f"{label}: done, {time.monotonic() - started:.1f} s, {rate():.1f} MB/s")


def _size(done: int, total: int) -> str:
    return f"{done / 1e6:.2f}M/{total / 1e6:.2f}MB"


class Silent:
    """Progress for nobody."""

    def step(self, message: str) -> None:
        del message

    @contextmanager
    def transfer(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        del label, total
        yield lambda done: None
