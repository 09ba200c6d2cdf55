"""One line of a check: what was looked at, what it is and what it should be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from loadtest.data.checksums import digest_of, recorded

HEADINGS = ("what", "found", "expected", "")
FIRST_FEW = 3


@dataclass(frozen=True)
class Finding:
    """`right` is None where nothing is known to hold it against; `remedy` is what to do where no download helps."""

    what: str
    found: str
    expected: str = ""
    right: bool | None = None
    remedy: str = ""

    def row(self) -> tuple[str, str, str, str]:
        word = {True: "ok", False: "WRONG", None: ""}[self.right]
        return self.what, self.found, self.expected or "-", word


def equal(what: str, found: object, expected: object) -> Finding:
    """A finding that is right where it is what was expected."""
    return Finding(what, told(found), told(expected), found == expected)


def none_of(what: str, wrong: Sequence[str]) -> Finding:
    """A finding about things that should not be; each is told in a few words."""
    first = ": " + ", ".join(wrong[:FIRST_FEW]) + (", ..." if len(wrong) > FIRST_FEW else "") if wrong else ""
    return Finding(what, f"{len(wrong)}{first}", "0", not wrong)


def columns(file: Path, wanted: Collection[str], other_names: Mapping[str, str] | None = None) -> Finding:
    """The columns of a parquet file; `other_names` are as good as those they stand for."""
    present = {(other_names or {}).get(name, name) for name in pq.read_schema(file).names}
    lacking = ", ".join(name for name in wanted if name not in present)
    return Finding("columns", f"without {lacking}" if lacking else "all", f"all {len(wanted)}", not lacking)


def told(value: object) -> str:
    """A value as the table has it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {told(count)}" for key, count in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def checksums(files: Iterable[Path], known_md5: str | None = None) -> Iterator[Finding]:
    """Each file's digest, held against the download's own record or else a known one; told where there is neither."""
    for file in files:
        record = recorded(file)
        if record is not None:
            digest = digest_of(file, record.algorithm)
            name = f"{record.algorithm.upper()} of {file.name}, by {record.source}"
            yield equal(name, digest, record.digest)
        elif known_md5 is not None:
            yield equal(f"MD5 of {file.name}", digest_of(file, "md5"), known_md5)
        else:
            yield Finding(f"SHA-256 of {file.name}", digest_of(file, "sha256"), "not published")
