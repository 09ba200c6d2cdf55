"""Runs as a submission sees them: their folders, their summaries and LoadGen's own logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Mode, Official, Scenario
from loadtest.command import Refused
from loadtest.compliance.audit import AUDITS
from loadtest.loadgen.log import find_log, read_entries
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.settings import LoadGenError, TestPlan
from loadtest.results import read_summary, replicas_of

WEIGHTS = ("pool", "vendor", "engine", "engine_version", "accelerator", "tensor_parallel", "checkpoint", "revision")
"""What of a replica must be the same in all runs of a scenario."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    summary: dict[str, Any]

    @property
    def benchmark(self) -> str:
        return str(self.summary["benchmark"])

    @property
    def scenario(self) -> Scenario:
        return Scenario(self.summary["scenario"])

    @property
    def mode(self) -> Mode:
        return Mode(self.summary["mode"])

    @property
    def compliance(self) -> str | None:
        name: str | None = self.summary.get("compliance")
        return name

    @property
    def kind(self) -> str:
        """`performance`, `accuracy`, or the name of a compliance test."""
        return self.compliance or str(self.mode)

    @property
    def quick(self) -> bool:
        return str(self.summary["label"]).startswith("quick")

    @property
    def official(self) -> Official:
        return benchmark(self.benchmark).official

    @property
    def plan(self) -> TestPlan:
        """The test as it was run."""
        return TestPlan(
            official=self.official,
            mode=self.mode,
            samples=int(self.summary["data_set"]["samples"]),
            quick=self.quick,
            target_qps=self.summary.get("target_qps"),
            scenario=self.scenario,
            round=Round(self.summary["round"]),
            audit=AUDITS[self.compliance] if self.compliance else None,
        )

    def log(self, name: str) -> Path:
        return find_log(self.folder, name)

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """Of LoadGen's detail log."""
        return read_entries(self.log("detail.txt"))

    @cached_property
    def values(self) -> dict[str, Any]:
        return {entry["key"]: entry["value"] for entry in self.entries}

    @property
    def replicas(self) -> list[dict[str, Any]]:
        return replicas_of(self.summary)

    @property
    def fleet(self) -> list[tuple[Any, ...]]:
        """What must be the same between runs, of each replica, sorted."""
        return sorted((tuple(replica.get(key) for key in WEIGHTS) for replica in self.replicas), key=repr)

    def __str__(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Entry:
    """The runs of one model and scenario. Several of a kind are an error that the gate tells."""

    benchmark: str
    scenario: Scenario
    runs: tuple[Run, ...]

    def of(self, kind: str) -> Run | None:
        return next((run for run in self.runs if run.kind == kind), None)

    def __str__(self) -> str:
        return f"{self.benchmark} {self.scenario}"


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """Raises Refused for a folder that is no run of LoadGen's."""
    runs = []
    for folder in folders:
        try:
            run = Run(folder, read_summary(folder))
            _ = run.plan, run.entries
        except (OSError, ValueError, KeyError, TypeError, LoadGenError) as error:
            raise Refused(f"{folder}: not the folder of a finished LoadGen run: {error!r}") from None
        runs.append(run)
    return runs


def entries_of(runs: Iterable[Run]) -> list[Entry]:
    """By model and scenario, in a fixed order."""
    grouped: dict[tuple[str, Scenario], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.benchmark, run.scenario), []).append(run)
    return [Entry(name, scenario, tuple(grouped[name, scenario])) for name, scenario in sorted(grouped)]
