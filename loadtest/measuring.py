"""What every kind of test has in common: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtest.benchmarks.base import Benchmark, Dataset, Served
from loadtest.client import Call, Outcome
from loadtest.journal import Journal
from loadtest.ledger import Ledger
from loadtest.loadgen.session import FEWEST_TOKENS
from loadtest.seat import Seat

LEAST_FAILURES = 10
FAILED_SHARE = 0.01


class MeasurementError(RuntimeError):
    """The test could not be brought to its end. What was measured so far is kept."""


@dataclass
class Measurement:
    """What happened, also of a test that was cut short."""

    ledger: Ledger = field(default_factory=Ledger)
    started: float = 0.0
    """When LoadGen issued its first query, in seconds since the epoch; 0 before that."""
    finished: float = 0.0
    cpu_s: float | None = None
    """Of this process while queries were under way, LoadGen's threads included; None where it was not measured."""

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.ledger.outcomes.values() if outcome.answer is None]

    @property
    def short_answers(self) -> int:
        """Answers of fewer tokens than LoadGen can take: they were reported as two tokens long."""
        answers = (outcome.answer for outcome in self.ledger.outcomes.values())
        return sum(answer is not None and answer.tokens < FEWEST_TOKENS for answer in answers)


@dataclass(frozen=True)
class Subject:
    """What is asked, where, and how."""

    benchmark: Benchmark
    dataset: Dataset
    served: Served
    call: Call
    seats: tuple[Seat, ...]
    journal: Journal | None = None
    """Where answers are kept as they come; None where a test cannot be resumed."""

    def known(self, index: int) -> Outcome | None:
        """A sample's outcome of an earlier try."""
        return self.journal.known.get(index) if self.journal else None

    def keep(self, outcomes: Iterable[Outcome]) -> None:
        if self.journal is not None:
            self.journal.add(outcomes)


def too_many_failures(failed: int, samples: int) -> bool:
    """Whether a test over so many samples is given up: its result could not be valid, and may take hours more."""
    return failed > max(LEAST_FAILURES, int(FAILED_SHARE * samples))
