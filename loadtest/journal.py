"""Answers of an accuracy run as they come, on disk, so that an interrupted run need not ask its samples again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from loadtest.client import Outcome
from loadtest.loadgen.settings import TestPlan
from loadtest.results import write_text
from loadtest.target import Target

JOURNAL, IDENTITY = "answers.journal", "answers.json"
LENGTH_BYTES = 4

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Outcome)


class JournalError(ValueError):
    """A folder that cannot be resumed. The message says why."""


class Journal:
    """The answers of one folder: those that an earlier try left, and those that are added.

    A record is its length (4 bytes, little endian) and a msgpack Outcome. One that a kill cut off ends the journal.
    """

    def __init__(self, file: Path) -> None:
        self.known: dict[int, Outcome] = {}
        """Sample index -> its answered outcome of an earlier try."""
        content = file.read_bytes() if file.exists() else b""
        whole = 0
        while (end := _end(content, whole)) is not None:
            outcome = _decoder.decode(content[whole + LENGTH_BYTES : end])
            self.known[outcome.index] = outcome
            whole = end
        self._file = file.open("ab")
        self._file.truncate(whole)

    @classmethod
    def of(cls, folder: Path, plan: TestPlan, benchmark: str, target: Target) -> Self:
        """The journal of this test in `folder`. Raises JournalError where another test's answers lie there."""
        identity = {
            "benchmark": benchmark,
            "scenario": str(plan.scenario),
            "round": str(plan.round),
            "quick": plan.quick,
            "samples": plan.samples,
            "model": target.served.name,
            "checkpoint": target.checkpoint,
            "revision": target.revision,
        }
        file = folder / IDENTITY
        if not file.exists():
            if not folder.is_dir():
                raise JournalError(f"{folder}: no such folder; give the folder of the accuracy run to be resumed")
            if any(folder.iterdir()):
                raise JournalError(f"{folder}: there is no {IDENTITY}; give the folder of an interrupted accuracy run")
            write_text(file, json.dumps(identity, indent=2) + "\n")
        elif (found := _identity(file)) != identity:
            differing = [key for key, value in identity.items() if found.get(key) != value]
            told = "; ".join(f"{key} was {found.get(key)}, is {identity[key]}" for key in differing)
            raise JournalError(f"{folder}: these are another test's answers ({told})")
        return cls(folder / JOURNAL)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Appends the answered ones; they survive the death of this process."""
        for outcome in outcomes:
            if outcome.answer is not None and outcome.index not in self.known:
                record = _encoder.encode(outcome)
                self._file.write(len(record).to_bytes(LENGTH_BYTES, "little") + record)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _end(content: bytes, start: int) -> int | None:
    """Where the record that begins at `start` ends; None where it is not whole."""
    begin = start + LENGTH_BYTES
    if begin > len(content):
        return None
    end = begin + int.from_bytes(content[start:begin], "little")
    return end if end <= len(content) else None


def _identity(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JournalError(f"{file}: unreadable: {error}") from None
    return found if isinstance(found, dict) else {}
