"""An event loop whose clock is virtual: it jumps to the next timer when nothing else is to be done."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits: the time that it would have waited passes on the loop's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everything waits, and no timer is set"
            self.now += max(0.0, timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that uses timers and no sockets."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch | None = None) -> T:
    """Runs a coroutine in virtual time. With `monkeypatch`, `time.monotonic` is the loop's clock until its undoing."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        if monkeypatch:
            monkeypatch.setattr(time, "monotonic", runner.get_loop().time)
        return runner.run(main)
