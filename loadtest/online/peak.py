"""The search for the highest rate of queries that is VALID: a ladder of runs, each in a process of its own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.tables import Table, show
from loadtest.command import Refused
from loadtest.results import read_summary, write_text

LADDER = "ladder.json"
GROWTH = 2.0
PRECISION = 0.03
"""The search ends where the lowest rate that failed is this much above the highest that held."""

MOST_RUNGS = 24
MOST_HALVINGS = 7
"""A fleet that holds not even a hundredth of the first rate has another trouble than load."""

HEADINGS = ("queries/s", "verdict", "value", "TTFT p99", "TPOT p99", "E2E p99", "run")


@dataclass(frozen=True)
class Rung:
    """One run of the ladder. `p99`: figure -> seconds."""

    target_qps: float
    valid: bool
    value: float | None
    metric: str
    p99: dict[str, float | None]
    folder: str


Climb = Callable[[float], Rung]
"""Runs a test at a rate."""


def next_rate(rungs: Sequence[Rung], first: float) -> float | None:
    """The rate to try next; None once the search is over.

    Doubles while it holds and halves while it does not; between the two it bisects geometrically. A rate that held
    above one that failed is noise: the search goes on below the lowest that failed.
    """
    failed = min((rung.target_qps for rung in rungs if not rung.valid), default=math.inf)
    held = max((rung.target_qps for rung in rungs if rung.valid and rung.target_qps < failed), default=0.0)
    if not rungs:
        return first
    over = held * (1 + PRECISION) if held else first / GROWTH**MOST_HALVINGS
    if len(rungs) >= MOST_RUNGS or failed <= over:
        return None
    if failed == math.inf:
        return held * GROWTH
    return _round(failed / GROWTH) if held == 0 else _round(math.sqrt(held * failed))


def _round(rate: float) -> float:
    """To four digits: a rate is a word of user.conf and of a command line."""
    return float(f"{rate:.4g}")


def find_peak(folder: Path, options: Sequence[str], first: float, climb: Climb) -> Rung | None:
    """The highest rung that held, None where none did. Rungs that lie in `folder` already are not run again.

    Raises Refused where they were run with other options.
    """
    file = folder / LADDER
    rungs = read_ladder(file, options)
    if rungs:
        show(ladder_table(rungs))
    while (rate := next_rate(rungs, first)) is not None:
        rungs.append(climb(rate))
        told = {"options": list(options), "rungs": [asdict(rung) for rung in rungs]}
        write_text(file, json.dumps(told, indent=2) + "\n")
        show(ladder_table(rungs))
    return best(rungs)


def best(rungs: Sequence[Rung]) -> Rung | None:
    failed = min((rung.target_qps for rung in rungs if not rung.valid), default=math.inf)
    held = [rung for rung in rungs if rung.valid and rung.target_qps < failed]
    return max(held, key=lambda rung: rung.target_qps, default=None)


def read_ladder(file: Path, options: Sequence[str]) -> list[Rung]:
    """Rungs of an earlier search. Raises Refused where the file is no ladder, or one of a search with other options."""
    if not file.exists():
        return []
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        rungs, before = [Rung(**entry) for entry in told["rungs"]], list(told["options"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"{file} is no ladder of an earlier search ({error}); give another --out, or remove it") from None
    if before != list(options):
        raise Refused(f"{file} is of a search with {' '.join(before)}; give another --out, or remove it")
    return rungs


def ladder_table(rungs: Sequence[Rung]) -> Table:
    """From the lowest rate to the highest."""
    rows = [
        (
            f"{rung.target_qps:g}",
            "VALID" if rung.valid else "INVALID",
            "-" if rung.value is None else f"{rung.value:,.2f} {rung.metric}",
            *(_seconds(rung.p99.get(figure)) for figure in ("ttft_s", "tpot_s", "e2e_s")),
            Path(rung.folder).name,
        )
        for rung in sorted(rungs, key=lambda rung: rung.target_qps)
    ]
    return Table(HEADINGS, rows)


def climb_by(module: str, arguments: Sequence[str], folder: Path) -> Climb:
    """Runs `python -m MODULE ARGUMENTS --target-qps RATE --out FOLDER` in a new process, as LoadGen needs it.

    A rung that could not be run at all raises Refused; Ctrl-C ends rung and search.
    """

    def climb(rate: float) -> Rung:
        before = set(folder.iterdir())
        command = [sys.executable, "-m", module, *arguments, "--target-qps", f"{rate:g}", "--out", str(folder)]
        print(f"trying {rate:g} queries/s", flush=True)
        running = subprocess.Popen(command)
        try:
            code = running.wait()
        except KeyboardInterrupt:
            running.wait()  # it got the same signal, and keeps what it has
            raise
        made = [found for found in set(folder.iterdir()) - before if found.is_dir()]
        rung = _rung(rate, made[0]) if len(made) == 1 and code in (0, 1, 2) else None
        if rung is None:
            raise Refused(f"the run at {rate:g} queries/s ended with status {code}; its own words are above")
        return rung

    return climb


def _rung(rate: float, folder: Path) -> Rung | None:
    """A run that was given up since too many queries failed did not hold its rate; None where it never began."""
    summary = read_summary(folder)
    if summary["state"] != "complete" and not summary["samples_failed"]:
        return None
    latency = summary.get("latency") or {}
    p99 = {figure: values["p99"] if values else None for figure, values in latency.items()}
    valid = summary.get("verdict") == "VALID"
    return Rung(rate, valid, summary.get("value"), summary.get("metric", ""), p99, str(folder))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
