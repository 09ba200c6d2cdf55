"""Where runs stand among the published results of their test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtest.compare.published import PUBLISHED, Published
from loadtest.compare.runs import Run, Test
from loadtest.compare.sides import NONE, Row, counted

HEADINGS = (
    *("round", "result", "submitter", "accelerators", "value", "of each"),
    *("beside your runs", "yours / theirs, of each"),
)


@dataclass(frozen=True, eq=False)
class Standing:
    """A published result, the runs that had the same accelerators, and those on others that came nearest to it."""

    one: Published
    comparable: Sequence[Run]
    nearest: Sequence[Run]

    @property
    def row(self) -> Row:
        one = self.one
        return (
            one.round,
            one.source or NONE,
            one.submitter + (" (open)" if one.division == "open" else ""),
            counted(one.accelerators),
            f"{one.value:,.2f} {one.unit}",
            f"{one.per_accelerator:,.2f}",
            self._beside(),
            ", ".join(f"{run.number}: {_ratio(run, one):.2f}" for run in self.comparable) or NONE,
        )

    def _beside(self) -> str:
        if self.comparable:
            return f"comparable with {_numbers(self.comparable)}"
        return f"other hardware, nearest to {_numbers(self.nearest)}" if self.nearest else NONE


def measured_as_published(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs of each test of which results are published, however short they were or on whatever data."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if _of_test(run.test):
            found.setdefault(f"{run.test.benchmark} {run.test.scenario}", []).append(run)
    return found


def standings(runs: Sequence[Run]) -> list[Standing]:
    """Published results of the test of these runs: the comparable ones, the nearest ones, and the best of each other
    hardware and round; best first in each.

    Toys, shortened runs and those that are INVALID stand beside none of them. A run that none is comparable with has a
    nearest one: that whose accelerators are as fast as its own, as nearly as any.
    """
    ranked = sorted(_of_test(runs[0].test), key=lambda one: -one.per_accelerator)
    official = [run for run in runs if run.per_accelerator and not run.obstacles]
    comparable = [[run for run in official if _same_accelerators(run, one)] for one in ranked]
    alone = [run for run in official if not any(run in found for found in comparable)]
    nearest_of = {run.number: min(ranked, key=lambda one: abs(math.log(_ratio(run, one)))) for run in alone}
    found = [
        Standing(one, alike, [run for run in alone if nearest_of[run.number] is one])
        for one, alike in zip(ranked, comparable, strict=True)
    ]
    best = set(best_of_each(found))
    shown = [standing for standing in found if standing.comparable or standing.nearest or standing in best]
    return sorted(shown, key=lambda standing: (not standing.comparable, not standing.nearest))


def best_of_each(found: Sequence[Standing]) -> list[Standing]:
    """Of each hardware and round."""
    best: dict[tuple[str, ...], Standing] = {}
    for standing in sorted(found, key=lambda standing: -standing.one.per_accelerator):
        best.setdefault((standing.one.round, *sorted(standing.one.accelerators)), standing)
    return list(best.values())


def remarks(runs: Sequence[Run]) -> list[str]:
    """What must be known beside the tables."""
    found = []
    for run in runs:
        if run.obstacles:
            found.append(f"{run.name}: not comparable with published results: {'; '.join(run.obstacles)}")
        elif not run.accelerators and _of_test(run.test):
            found.append(f"{run.name}: its fleet does not tell its accelerators, so no published result is comparable")
    if len({run.test for run in runs}) > 1:
        found.append("these are runs of different tests: ratios are within a test")
    return found


def _of_test(test: Test) -> list[Published]:
    if test.mode != "performance" or test.compliance:
        return []
    return [one for one in PUBLISHED if (one.benchmark, one.scenario) == (test.benchmark, test.scenario)]


def _same_accelerators(run: Run, one: Published) -> bool:
    """The same ones in the same proportions, however many."""
    return _shares(run.accelerators) == _shares(one.accelerators)


def _shares(accelerators: Mapping[str, int]) -> dict[str, float]:
    total = sum(accelerators.values())
    return {name: count / total for name, count in accelerators.items()}


def _ratio(run: Run, one: Published) -> float:
    return (run.per_accelerator or math.nan) / one.per_accelerator


def _numbers(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.number) for run in runs)
