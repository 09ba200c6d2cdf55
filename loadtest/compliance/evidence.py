"""What a compliance test is judged by, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.benchmarks.base import Score

PASS, FAIL = "TEST PASS", "TEST FAIL"


@dataclass(frozen=True)
class Evidence:
    """Folders of runs, and how answers are scored.

    Attributes:
        run: of the compliance run itself.
        accuracy, performance: of the runs that it is compared with; only TEST01 is.
    """

    run: Path
    score: Callable[[Mapping[int, bytes]], Score]
    accuracy: Path | None = None
    performance: Path | None = None


@dataclass(frozen=True)
class Finding:
    """Whether the test passed, and the text of the files that say so, by their names in the run's folder."""

    passed: bool
    files: Mapping[str, str] = field(default_factory=dict)


def verdict(passed: bool) -> str:
    return PASS if passed else FAIL
