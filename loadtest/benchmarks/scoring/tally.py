"""Right answers of each data set, and the one figure that they make together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.benchmarks.base import Score
from loadtest.benchmarks.scoring.exact_match import AnswerKind, answer_kind, repeats

PASSED = "passed"
"""What becomes of a program that is right."""

TryPrograms = Callable[[Sequence[tuple[str, str | None]]], Sequence[str]]
"""What became of each (question id, program), PASSED or a reason; a program of None is no program."""


@dataclass
class Tally:
    """One data set's answers. Programs are kept until they are tried."""

    name: str
    asked: int = 0
    right: int = 0
    outcomes: Counter[str] | None = None
    programs: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def kind(self) -> AnswerKind | None:
        return answer_kind(self.name)

    @property
    def scored(self) -> bool:
        return self.kind is not None and (not self.kind.runs_code or self.outcomes is not None)

    def add(self, answer: str, truth: str) -> None:
        self.asked += 1
        if self.kind is None:
            return
        if self.kind.runs_code:
            self.programs.append((truth, self.kind.read(answer)))
        else:
            self.right += self.kind.right(answer, truth)

    def try_programs(self, outcomes: TryPrograms) -> None:
        if self.kind is not None and self.kind.runs_code:
            self.outcomes = Counter(outcomes(self.programs))
            self.right = self.outcomes[PASSED]

    def detail(self) -> dict[str, Any]:
        told: dict[str, Any] = {"right": self.right, "asked": self.asked} if self.scored else {"asked": self.asked}
        return told | ({"outcomes": dict(self.outcomes)} if self.outcomes is not None else {})


def exact_match(tallies: Collection[Tally]) -> Score:
    """Questions answered rightly, %: a data set's repeats of a question weigh as one (eval_mlperf_accuracy.py)."""
    ordered = sorted(tallies, key=lambda tally: tally.name)
    detail: dict[str, Any] = {tally.name: tally.detail() for tally in ordered}
    unscored = [tally.name for tally in ordered if not tally.scored]
    if unscored or not ordered:
        return Score("exact match", None, "%", {**detail, "not_scored_here": unscored})
    questions = sum(tally.asked / repeats(tally.name) for tally in ordered)
    answered = sum(tally.right / repeats(tally.name) for tally in ordered)
    return Score("exact match", answered / questions * 100, "%", detail)
