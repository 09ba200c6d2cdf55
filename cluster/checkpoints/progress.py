"""Progress of long steps: a bar with bytes, rate and time left on a terminal, a line per step elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from tqdm import tqdm

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
        # tqdm itself draws nothing on a terminal that tells no size; shutil then takes 80 by 24.
        size = shutil.get_terminal_size()
        with tqdm(
            total=total,
            desc=label,
            unit="B",
            unit_scale=True,
            file=self._stream,
            ncols=size.columns,
            nrows=size.lines,
        ) as bar:
            yield lambda done: (bar.update(max(0, done - bar.n)), None)[1]

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


class Silent:
    """Progress for nobody."""

    def step(self, message: str) -> None:
        del message

    @contextmanager
    def transfer(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        del label, total
        yield lambda done: None
