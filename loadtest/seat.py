"""Places of pullers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seat:
    """A puller's place: it keeps `window` requests in flight on behalf of `replica`."""

    replica: str
    window: int
