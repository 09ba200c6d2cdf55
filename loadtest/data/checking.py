"""`python -m loadtest.data check`: a table of what is right and wrong with a data set, and how to get the right one."""

from __future__ import annotations

from pathlib import Path

from cluster.tables import aligned
from loadtest.benchmarks.base import DataError
from loadtest.command import Refused
from loadtest.data.checks import check_of
from loadtest.data.checks.finding import HEADINGS, Finding
from loadtest.data.official import OFFICIAL, Kind, how_to_get


def check_sets(benchmark: str, path: Path, kind: Kind | None) -> bool:
    """Prints a table for the set of that kind, or for each that may lie at `path`. False where something is wrong."""
    advice = [told for each in _kinds(benchmark, path, kind) for told in _check_set(benchmark, path, each)]
    for told in dict.fromkeys(advice):
        if not any(told in other for other in advice if other != told):
            print(told)
    return not advice


def _kinds(benchmark: str, path: Path, kind: Kind | None) -> list[Kind]:
    known = OFFICIAL[benchmark]
    if kind is not None and kind not in known:
        raise Refused(f"{benchmark} has no set for {kind}; it has {', '.join(known)}")
    if kind is not None:
        return [kind]
    if path.is_dir() and all(official.file for official in known.values()):
        return list(known)
    return [next((each for each, official in known.items() if Path(official.file).name == path.name), Kind.PERFORMANCE)]


def _check_set(benchmark: str, path: Path, kind: Kind) -> list[str]:
    """Prints a table. What to do, where something is wrong."""
    findings, advice = list[Finding](), list[str]()
    try:
        findings.extend(check_of(benchmark)(path, kind))
    except DataError as error:
        findings.append(Finding("usable", "no", "yes", False, str(error)))
        advice = [how_to_get(benchmark, kind)]
    wrong = [finding for finding in findings if finding.right is False]
    print(f"{benchmark}, {kind} set: {f'{len(wrong)} wrong' if wrong else 'all as it should be'}")
    print("\n".join(aligned(HEADINGS, [finding.row() for finding in findings])) + "\n")
    return [finding.remedy or how_to_get(benchmark, kind) for finding in wrong] + advice
