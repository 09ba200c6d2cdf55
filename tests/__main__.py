"""`python -m tests unit|test|rest|all|soak [PYTEST OPTION...]`: runs tiers of tests, all of them whatever fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.skips import DECLARED, declared
from tests.tiers import RUNS, Tier

REPORTS = Path(__file__).parents[1] / "build" / "tests"
"""Folder of each tier's last report: counts, failures, skips, and the seconds of every test."""

SLOWEST = 5
"""How many of a tier's slowest tests the summary names."""


@dataclass(frozen=True)
class Ended:
    """A tier that has run. `report` is what tests/support/session_plugin.py wrote; empty where pytest itself failed."""

    tier: Tier
    code: int
    seconds: float
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.code == 0

    @property
    def failed_tests(self) -> list[str]:
        return list(self.report.get("failed", ()))


def run(tier: Tier, options: list[str], folder: Path) -> Ended:
    """Runs a tier in a pytest of its own."""
    file = folder / f"{tier.name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *tier.paths, "-m", tier.marks, f"--report-file={file}"]
    command += [*tier.options, *options]
    if tier.workers:
        command += ["--numprocesses", str(tier.workers), "--no-loadscope-reorder"]
    started = time.monotonic()
    code = subprocess.run(command).returncode
    report = json.loads(file.read_text()) if file.exists() else {}
    return Ended(tier, code, time.monotonic() - started, report)


def summary(tiers: list[Ended]) -> str:
    """What ran, what failed, what was skipped and what would enable it, and one line of totals."""
    lines = [f"{'tier':9}  result  {'passed':>7} {'failed':>6} {'skipped':>7} {'seconds':>7}"]
    for one in tiers:
        counts = [one.report.get("passed", 0), len(one.failed_tests), len(one.report.get("skipped", ()))]
        result = "ok" if one.passed else "FAILED"
        lines.append(f"{one.tier.name:9}  {result:6}  {counts[0]:7} {counts[1]:6} {counts[2]:7} {one.seconds:7.0f}")
    for one in tiers:
        slowest = ", ".join(f"{test.rpartition('/')[2]} {spent:.0f} s" for test, spent in _slowest(one))
        lines += [f"{one.tier.name}: slowest {slowest}"] if slowest else []
        lines += [f"{one.tier.name}: failed {test}" for test in one.failed_tests]
        lines += [f"{one.tier.name}: left behind {what}" for what in one.report.get("left_behind", ())]
        if not one.passed and not one.report:
            lines.append(f"{one.tier.name}: pytest itself ended with status {one.code}")
    skips = [text for one in tiers for _, text in one.report.get("skipped", ())]
    for reason, count in Counter(map(declared, skips)).items():
        lines.append(f"skipped {count}: " + (f"they need {DECLARED[reason]}" if reason else "for undeclared reasons"))
    totals = Counter({"passed": 0, "failed": 0, "skipped": 0})
    for one in tiers:
        totals["passed"] += one.report.get("passed", 0)
        totals["failed"] += max(len(one.failed_tests), 0 if one.passed else 1)
        totals["skipped"] += len(one.report.get("skipped", ()))
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in totals.items()))
    return "\n".join(lines)


def _slowest(one: Ended) -> list[tuple[str, float]]:
    return [(test, spent) for test, spent in one.report.get("slowest", ()) if spent >= 1][:SLOWEST]


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in RUNS:
        print(f"usage: python -m tests {'|'.join(RUNS)} [PYTEST OPTION...]", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    ended = []
    for tier in RUNS[arguments[0]]:
        print(f"== {tier.name}: {' '.join(tier.paths)} ({tier.marks})", flush=True)
        ended.append(run(tier, arguments[1:], REPORTS))
    print(f"\n{summary(ended)}", flush=True)
    return 0 if all(one.passed for one in ended) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
