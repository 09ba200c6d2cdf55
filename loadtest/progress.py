"""How far a test is: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

LINE_EVERY_S = 10.0


class Progress:
    """Samples answered of samples issued, or of whatever `unit` names."""

    def __init__(self, title: str, unit: str = "samples") -> None:
        self._title, self._unit = title, unit
        self._bar: tqdm[Any] | None = None
        self._answered = 0
        self._said = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, issued: int, answered: int, seconds: float, note: str = "") -> None:
        """`seconds`: since the first sample was issued. `note` is shown beside."""
        now = time.monotonic()
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=issued, desc=self._title, unit=f" {self._unit}", dynamic_ncols=True, leave=False)
            self._bar.total = issued
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(answered - self._answered)
            self._bar.refresh()
        elif now - self._said >= LINE_EVERY_S or answered == issued:
            self._said = now
            print(self._line(issued, answered, seconds, note), file=sys.stderr, flush=True)
        self._answered = answered

    def _line(self, issued: int, answered: int, seconds: float, note: str) -> str:
        rate = answered / seconds if seconds > 0 else 0.0
        left = f", {(issued - answered) / rate:.0f} s left" if rate and answered < issued else ""
        return f"{self._title}: {answered} of {issued} {self._unit}, {rate:.1f} a second{left}{note and f', {note}'}"
