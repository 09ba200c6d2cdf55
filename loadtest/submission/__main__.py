"""`python -m loadtest.submission`: assembles a tree from finished runs, or says why it must not be submitted."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from cluster.durable import flush_all
from loadtest.command import Refused, outcome
from loadtest.loadgen.rounds import Round
from loadtest.submission.gate import Division, Objection, objections
from loadtest.submission.marks import MARK, MARK_FILE, is_rehearsal, marked
from loadtest.submission.runs import entries_of, read_runs
from loadtest.submission.system import describe, template
from loadtest.submission.tree import File, Submission, files, read_measurements

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main(arguments: list[str]) -> int:
    """0: the tree is there; 2: refused."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.submission",
        description="Assembles a submission tree of MLPerf Inference from the folders of finished runs. Whatever may "
        "not be submitted is refused, each with its reason.",
    )
    parser.add_argument("--runs", nargs="+", type=Path, required=True, metavar="DIR", help="folders of finished runs")
    parser.add_argument("--system", type=Path, metavar="FILE", help="SYSTEM.json; its name becomes the system's")
    parser.add_argument("--template", action="store_true", help="print a SYSTEM.json for these runs to be filled in")
    parser.add_argument("--submitter", metavar="NAME")
    parser.add_argument("--division", type=Division, choices=list(Division))
    parser.add_argument("--round", type=Round, choices=list(Round), default=Round.V6_1, help="default: v6.1")
    parser.add_argument(
        "--measurements", type=Path, metavar="FILE", help="JSON: fields of measurements.json by benchmark"
    )
    parser.add_argument("--out", type=Path, metavar="TREE", help="must not exist")
    parser.add_argument(
        "--rehearsal", action="store_true", help="let fakes, toys and shortened runs through, and mark every file"
    )
    given = parser.parse_args(arguments)
    return outcome(lambda: _print_template(given) if given.template else _assemble(given))


def _print_template(given: argparse.Namespace) -> bool:
    print(json.dumps(template(read_runs(given.runs)[0]), indent=2))
    return True


def _assemble(given: argparse.Namespace) -> bool:
    for option in ("system", "submitter", "division", "out"):
        if getattr(given, option) is None:
            raise Refused(f"give --{option}; see --help")
    for name in (given.submitter, given.system.stem):
        if not NAME.fullmatch(name):
            raise Refused(f"'{name}' becomes the name of a folder: letters, digits, '.', '_' and '-' only")
    if given.out.exists():
        raise Refused(f"{given.out} exists; give a new folder, or remove it")
    if taken := [folder for folder in given.runs if is_rehearsal(folder.resolve())]:
        raise Refused(f"{taken[0]} lies in the tree of a rehearsal; give the folders of the runs themselves")
    entries = entries_of(read_runs(given.runs))
    found = objections(entries, given.division, given.round)
    if found and not given.rehearsal:
        listed = "\n".join(f"  {objection}" for objection in found)
        raise Refused(f"this cannot be submitted:\n{listed}\n--rehearsal builds a tree all the same, and marks it")
    try:
        measurements = read_measurements(given.measurements)
    except (OSError, ValueError) as error:
        raise Refused(str(error)) from None
    system = describe(given.system, entries[0].runs[0], given.division, given.submitter)
    submission = Submission(
        entries, system, given.system.stem, given.division, given.submitter, given.round, measurements
    )
    written = _write(given.out, files(submission), found if given.rehearsal else None)
    told = f"a rehearsal of {len(found)} objections, see {MARK_FILE}" if given.rehearsal else "ready for the checker"
    print(f"{given.out}: {written} files of {len(entries)} results, {told}")
    return True


def _write(out: Path, tree: Iterable[File], objections: list[Objection] | None) -> int:
    """Builds the tree beside its place and renames it. `objections` of a rehearsal; None for a submission."""
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    written = 0
    try:
        for path, content in tree:
            file = building / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if objections is None else marked(file.name, content))
            written += 1
        if objections is not None:
            listed = "\n".join(f"- {objection}" for objection in objections) or "- nothing"
            (building / MARK_FILE).write_text(f"# {MARK}\n\nWhat speaks against it:\n\n{listed}\n", encoding="utf-8")
            written += 1
        flush_all(building)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
