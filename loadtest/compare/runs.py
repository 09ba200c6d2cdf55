"""Runs as they are compared: what each measured, on what, and why its figure may mean nothing beside others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from loadtest.command import Refused
from loadtest.report.timeline import Timeline, read_timeline
from loadtest.results import SUMMARY, read_summary, replicas_of

NEEDED = ("label", "state", "benchmark", "scenario", "mode", "model", "samples_issued", "samples_answered")


@dataclass(frozen=True)
class Test:
    """What is measured, and with what. Figures of different tests are never compared.

    `marks`: what makes it less than the official test: `quick`, `embedded data`.
    """

    benchmark: str
    scenario: str
    mode: str
    compliance: str | None
    marks: tuple[str, ...]

    @property
    def title(self) -> str:
        named = " ".join(word for word in (self.benchmark, self.scenario, self.mode, self.compliance) if word)
        return ", ".join([named, *self.marks])


@dataclass(frozen=True, eq=False)
class Run:
    """A run's folder. `number` stands for it wherever its name is too long."""

    number: int
    folder: Path
    summary: Mapping[str, Any]
    timeline: Timeline | None

    @property
    def name(self) -> str:
        return f"{self.number} {self.folder.name}"

    @cached_property
    def test(self) -> Test:
        summary = self.summary
        marks = {
            "quick": str(summary["label"]).startswith("quick"),
            "embedded data": bool((summary.get("data_set") or {}).get("embedded")),
        }
        benchmark, scenario, mode = (str(summary[key]) for key in ("benchmark", "scenario", "mode"))
        applying = tuple(mark for mark, applies in marks.items() if applies)
        return Test(benchmark, scenario, mode, summary.get("compliance"), applying)

    @property
    def value(self) -> float | None:
        value: float | None = self.summary.get("value")
        return value

    @property
    def metric(self) -> str:
        return str(self.summary.get("metric", ""))

    @cached_property
    def replicas(self) -> list[dict[str, Any]]:
        return replicas_of(self.summary)

    @cached_property
    def accelerators(self) -> Mapping[str, int]:
        """Name -> how many the replicas hold. Empty where one of them holds none or does not tell."""
        if not all(replica["accelerator"] for replica in self.replicas):
            return {}
        found: Counter[str] = Counter()
        for replica in self.replicas:
            found[replica["accelerator"]] += replica["tensor_parallel"]
        return found

    @property
    def per_accelerator(self) -> float | None:
        count = sum(self.accelerators.values())
        return self.value / count if self.value is not None and count else None

    @cached_property
    def obstacles(self) -> list[str]:
        """Why its figure may not stand beside published ones; empty where nothing known speaks against it."""
        summary = self.summary
        if summary["state"] != "complete":
            return [f"it is {summary['state']}"]
        if "verdict" not in summary:
            return [str(summary["label"])]
        invalid = [] if summary["verdict"] == "VALID" else [f"it is {summary['verdict']}"]
        return [*invalid, *(summary.get("not_submittable_because") or self.test.marks)]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Numbered from 1. Raises Refused."""
    return [_read(number, folder) for number, folder in enumerate(folders, 1)]


def by_test(runs: Sequence[Run]) -> dict[Test, list[Run]]:
    """In the order of their first runs."""
    tests: dict[Test, list[Run]] = {}
    for run in runs:
        tests.setdefault(run.test, []).append(run)
    return tests


def _read(number: int, folder: Path) -> Run:
    try:
        summary, timeline = read_summary(folder), read_timeline(folder)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise Refused(f"{folder}: not a run's folder, or a damaged one: {error}") from None
    if missing := [key for key in NEEDED if key not in summary]:
        raise Refused(f"{folder / SUMMARY} lacks {', '.join(missing)}: it is damaged, or no summary of a run")
    return Run(number, folder, summary, timeline)
