"""Puller jobs until everything is answered, whatever becomes of single pullers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol

from loadtest.client import Outcome
from loadtest.measuring import MeasurementError
from loadtest.puller import PullerJob
from loadtest.ray_job import outcomes
from loadtest.seat import Seat

BARREN_JOBS = 3
"""Jobs in a row that end with samples open and nothing answered, before the test is given up."""

ENDS_S = 5.0


class Work(Protocol):
    """What gives the pullers their samples."""

    @property
    def running(self) -> bool:
        """Whether samples are open, or more will come."""

    def join(self, timeout_s: float | None = None) -> None:
        """Waits for its end. Raises what ended it, if something did."""


def until_done(work: Work, job: PullerJob, seats: Sequence[Seat]) -> Generator[list[Outcome]]:
    """Outcomes of one job after the other, until the work is done. One job is the rule; a further one starts only where
    all pullers of the one before died. Raises MeasurementError."""
    barren = 0
    while work.running:
        answered = False
        with closing(outcomes(job, seats)) as frames:
            for frame in frames:
                answered = True
                yield frame
        # Pullers go home when everything is answered; whoever gave the samples needs a moment more to see it.
        work.join(ENDS_S)
        barren = 0 if answered else barren + 1
        if work.running and barren >= BARREN_JOBS:
            raise MeasurementError("all pullers died before they answered anything; Ray's log tells why (see above)")
