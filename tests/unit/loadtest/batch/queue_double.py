"""A queue of this process in place of Ray's actor, for what feeds it and what is told of its lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from loadtest.batch import feeding, run
from loadtest.leases import Item


class Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call


class QueueDouble:
    """Keeps what is put until it is confirmed."""

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}
        self.calls = 0
        self.closed = False
        self.put, self.confirm, self.close = Method(self._put), Method(self._confirm), Method(self._close)

    def _put(self, items: Sequence[Item], bodies: Sequence[bytes]) -> None:
        assert not self.closed
        self.calls += 1
        assert not self.waiting.keys() & {place for place, _ in items}, "no line is put twice"
        self.waiting.update((place, body) for (place, _), body in zip(items, bodies, strict=True))

    def _confirm(self, places: Sequence[int]) -> None:
        for place in places:
            self.waiting.pop(place, None)

    def _close(self) -> None:
        self.closed = True


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods of a double have answered already when Ray is asked for their result."""
    for module in (feeding, run):
        monkeypatch.setattr(module.ray, "get", lambda answer, timeout=None: answer)
