"""`python -m loadtest.data check`: a table of what is right and wrong with a data set, and how to get the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.command_line import print_json
from cluster.tables import Part, Table, show
from loadtest.benchmarks.base import DataError
from loadtest.command import Refused
from loadtest.data.checks import check_of
from loadtest.data.checks.finding import HEADINGS, Finding
from loadtest.data.official import OFFICIAL, Kind, how_to_get


@dataclass(frozen=True)
class CheckedSet:
    """A set, what was found in it, and how to get the right one where something is wrong."""

    benchmark: str
    kind: Kind
    findings: Sequence[Finding]
    advice: Sequence[str]

    def parts(self) -> list[Part]:
        """For a terminal."""
        wrong = [finding for finding in self.findings if finding.right is False]
        state = f"{len(wrong)} wrong" if wrong else "all as it should be"
        table = Table(HEADINGS, [finding.row() for finding in self.findings])
        return [f"{self.benchmark}, {self.kind} set: {state}", table, ""]


def check_sets(benchmark: str, path: Path, kind: Kind | None, as_json: bool = False) -> bool:
    """Checks the set of that kind, or all that may be at `path`, and prints a table each; False where one is wrong."""
    checked = []
    for each in _kinds(benchmark, path, kind):
        checked.append(_check_set(benchmark, path, each))
        if not as_json:
            show(*checked[-1].parts())
    advice = list(dict.fromkeys(line for one in checked for line in one.advice))
    advice = [line for line in advice if not any(line in other for other in advice if other != line)]
    if as_json:
        print_json({"sets": [asdict(one) for one in checked], "advice": advice})
    else:
        for line in advice:
            print(line)
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


def _check_set(benchmark: str, path: Path, kind: Kind) -> CheckedSet:
    findings, advice = list[Finding](), list[str]()
    try:
        findings.extend(check_of(benchmark)(path, kind))
    except DataError as error:
        findings.append(Finding("usable", "no", "yes", False, str(error)))
        advice = [how_to_get(benchmark, kind)]
    wrong = [finding for finding in findings if finding.right is False]
    return CheckedSet(
        benchmark, kind, findings, [*(finding.remedy or how_to_get(benchmark, kind) for finding in wrong), *advice]
    )
