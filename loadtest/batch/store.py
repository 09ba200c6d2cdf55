"""The answers of a batch on disk: appended as they come, whole lines only, each custom_id once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from filelock import FileLock, Timeout

from cluster.checkpoints.pinned import sha256_of
from loadtest.command import Refused
from loadtest.results import write_text

OUTPUT, ERRORS, IDENTITY, LOCK = "output.jsonl", "errors.jsonl", "batch.json", ".lock"


class _Answered(msgspec.Struct):
    custom_id: str


_decoder = msgspec.json.Decoder(_Answered)


class Store:
    """A batch's folder. One process at a time may hold it.

    A kill may leave the begin of a line at a file's end: it is cut off, and its request asked again.

    Attributes:
        answered, failed: the custom_ids in output.jsonl and errors.jsonl.
    """

    def __init__(self, folder: Path, source: Path, lines: int, model: str | None) -> None:
        """`lines`: how many the input has. `model`: what was asked in place of what the lines name."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lines = lines
        self._identity = {"input": source.name, "lines": lines, "sha256": sha256_of(source), "model": model}
        self._lock = FileLock(folder / LOCK)
        self.answered: set[str] = set()
        self.failed: set[str] = set()

    def __enter__(self) -> Self:
        """Raises Refused where another process works here, or another input's answers lie here."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise Refused(f"another process works in {self.folder}; wait for it, or give another --output") from None
        try:
            self._check_identity()
            self.answered = recovered(self.folder / OUTPUT)
            # A loss of power during --retry-failed may leave it in both: the answer counts.
            self.failed = recovered(self.folder / ERRORS) - self.answered
            self._output = (self.folder / OUTPUT).open("ab")
            self._errors = (self.folder / ERRORS).open("ab")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for file in (self._output, self._errors):
                with file:
                    file.flush()
                    os.fsync(file.fileno())
        finally:
            self._lock.release()

    @property
    def open(self) -> int:
        """Lines that are still to be asked."""
        return self._lines - len(self.answered) - len(self.failed)

    def forget_failures(self) -> None:
        """The failed requests are open again."""
        self._errors.truncate(0)
        self.failed.clear()

    def add(self, answers: Iterable[dict[str, Any]], failures: Iterable[dict[str, Any]]) -> None:
        """Lines for the two files. They survive the death of this process when this returns."""
        for file, lines, known in ((self._output, answers, self.answered), (self._errors, failures, self.failed)):
            for line in lines:
                known.add(line["custom_id"])
                file.write(msgspec.json.encode(line) + b"\n")
            file.flush()

    def _check_identity(self) -> None:
        file = self.folder / IDENTITY
        if not file.exists():
            others = [path.name for path in self.folder.iterdir() if path.name in (OUTPUT, ERRORS)]
            if others:
                raise Refused(f"{self.folder} holds {others[0]} of something else; give another --output")
            write_text(file, json.dumps(self._identity, indent=2) + "\n")
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            name, lines, digest, model = (found[key] for key in self._identity)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"{file}: unreadable: {error!r}; give another --output") from None
        if digest != self._identity["sha256"]:
            raise Refused(
                f"{self.folder} holds the answers to another input, {name} of {lines} lines; give that one, or another "
                "--output"
            )
        if model != self._identity["model"]:
            asked = f"with --model {model}" if model else "without --model"
            raise Refused(f"{self.folder} was begun {asked}; go on so, or give another --output")


def recovered(file: Path) -> set[str]:
    """The custom_ids of a file's whole lines; what comes after the last line end is cut off.

    Raises Refused where a whole line is none of a batch: no kill leaves such a one.
    """
    if not file.exists():
        return set()
    found: set[str] = set()
    whole = 0
    with file.open("r+b") as content:
        for number, line in enumerate(content, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                found.add(_decoder.decode(line).custom_id)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Refused(
                    f"{file}:{number}: no line of a batch: {error}; take it out, and its request is asked again"
                ) from None
            whole += len(line)
        content.truncate(whole)
    return found
