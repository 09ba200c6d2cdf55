"""`python -m loadtest.submission`: assembles a tree from finished runs, or says why it must not be submitted."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.durable import flush_all
from cluster.option_types import FLAG, LIST, by_value
from loadtest.command import Refused, outcome
from loadtest.commands import SUBMISSION
from loadtest.loadgen.rounds import Round
from loadtest.submission.gate import Division, Objection, objections
from loadtest.submission.marks import MARK, MARK_FILE, is_rehearsal, marked
from loadtest.submission.runs import entries_of, read_runs
from loadtest.submission.system import describe, template
from loadtest.submission.tree import File, Submission, files, read_measurements

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SubmissionArguments:
    """The options of the command."""

    runs: Annotated[list[Path], LIST, Parameter(help="Folders of finished runs.", metavar="DIR")]
    system: Annotated[
        Path | None, Parameter(help="SYSTEM.json; its file name becomes the system's name.", metavar="FILE")
    ] = None
    template: Annotated[bool, Parameter(help="Print a SYSTEM.json for these runs, to be filled in."), FLAG] = False
    submitter: Annotated[str | None, Parameter(help="Name of the submitter.", metavar="NAME")] = None
    division: Annotated[
        Division | None, by_value(Division), Parameter(help="Division of the submission.", metavar="DIVISION")
    ] = None
    round: Annotated[Round, by_value(Round), Parameter(help="The MLPerf round whose rules hold.", metavar="ROUND")] = (
        Round.V6_1
    )
    measurements: Annotated[
        Path | None, Parameter(help="JSON file: fields of measurements.json by benchmark.", metavar="FILE")
    ] = None
    out: Annotated[Path | None, Parameter(help="Folder of the tree; it must not exist.", metavar="TREE")] = None
    rehearsal: Annotated[
        bool, Parameter(help="Let fake, toy and shortened runs through, and mark every file."), FLAG
    ] = False


def submission(arguments: SubmissionArguments) -> int:
    """0: the tree is there; 2: refused."""
    return outcome(lambda: _print_template(arguments.runs) if arguments.template else _assemble(arguments))


def main(arguments: Sequence[str]) -> int:
    return run_command(single(SUBMISSION, submission), arguments)


def _print_template(runs: Sequence[Path]) -> bool:
    print(json.dumps(template(read_runs(runs)[0]), indent=2))
    return True


def _required(value: T | None, option: str) -> T:
    if value is None:
        raise Refused(f"give --{option}; see --help")
    return value


def _assemble(arguments: SubmissionArguments) -> bool:
    system_file = _required(arguments.system, "system")
    submitter = _required(arguments.submitter, "submitter")
    division = _required(arguments.division, "division")
    out = _required(arguments.out, "out")
    for name in (submitter, system_file.stem):
        if not NAME.fullmatch(name):
            raise Refused(f"'{name}' becomes the name of a folder: letters, digits, '.', '_' and '-' only")
    if out.exists():
        raise Refused(f"{out} exists; give a new folder, or remove it")
    if rehearsals := [folder for folder in arguments.runs if is_rehearsal(folder.resolve())]:
        raise Refused(f"{rehearsals[0]} lies in the tree of a rehearsal; give the folders of the runs themselves")
    entries = entries_of(read_runs(arguments.runs))
    found = objections(entries, division, arguments.round)
    if found and not arguments.rehearsal:
        listed = "\n".join(f"  {objection}" for objection in found)
        raise Refused(f"this cannot be submitted:\n{listed}\n--rehearsal builds a tree all the same, and marks it")
    try:
        measurements = read_measurements(arguments.measurements)
    except (OSError, ValueError) as error:
        raise Refused(str(error)) from None
    system = describe(system_file, entries[0].runs[0], division, submitter)
    tree = Submission(entries, system, system_file.stem, division, submitter, arguments.round, measurements)
    written = _write(out, files(tree), found if arguments.rehearsal else None)
    state = (
        f"a rehearsal of {len(found)} objections, see {MARK_FILE}" if arguments.rehearsal else "ready for the checker"
    )
    print(f"{out}: {written} files of {len(entries)} results, {state}")
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
