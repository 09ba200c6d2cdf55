"""LiveCodeBench's problems, read from its published files: JSON lines, of gigabytes, so one problem at a time."""

from __future__ import annotations

import base64
import io
import pickle
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct
from msgspec import json as msgjson

from loadtest.benchmarks.base import DataError

MOST_TEST_BYTES = 2**30
"""Of one problem's hidden tests, unpacked."""

HOW_TO_GET = "give the folder of livecodebench/code_generation_lite's files of release_v6, test.jsonl to test6.jsonl"


@dataclass(frozen=True)
class Problem:
    """Tests as (input, expected output). `function`: what they call; None where they speak to standard input."""

    tests: tuple[tuple[str, str], ...]
    function: str | None


class _Head(Struct):
    question_id: str


class _Case(Struct):
    input: str
    output: str


class _Metadata(Struct):
    func_name: str | None = None


class _Row(Struct):
    """Each field is a text that holds JSON, as published, or that JSON itself."""

    public_test_cases: str | list[_Case]
    private_test_cases: str | list[_Case]
    metadata: str | _Metadata


_heads = msgjson.Decoder(_Head)
_rows = msgjson.Decoder(_Row)
_cases = msgjson.Decoder(list[_Case])
_metadata = msgjson.Decoder(_Metadata)


class LiveCodeBench:
    """Problems by question id. Reads every line's id at once, and the rest of a line when it is asked for."""

    def __init__(self, path: Path) -> None:
        """`path`: a JSON-lines file, or a folder of `*.jsonl`. Raises DataError."""
        self._places: dict[str, tuple[Path, int]] = {}
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        try:
            for file in files:
                self._index(file)
        except OSError as error:
            raise DataError(f"{path}: not readable: {error}; {HOW_TO_GET}") from None
        if not self._places:
            raise DataError(f"{path}: holds no problems; {HOW_TO_GET}")

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, question: object) -> bool:
        return question in self._places

    def __getitem__(self, question: str) -> Problem:
        """Raises KeyError for a question that is not there, DataError for one that cannot be read."""
        file, start = self._places[question]
        try:
            with file.open("rb") as lines:
                lines.seek(start)
                row = _rows.decode(lines.readline())
            cases = [*_read(row.public_test_cases), *_read(row.private_test_cases)]
            metadata = _metadata.decode(row.metadata) if isinstance(row.metadata, str) else row.metadata
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: question {question} cannot be read: {error}; {HOW_TO_GET}") from None
        return Problem(tuple((case.input, case.output) for case in cases), metadata.func_name)

    def _index(self, file: Path) -> None:
        with file.open("rb") as lines:
            start = 0
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        self._places[_heads.decode(line).question_id] = file, start
                    except DecodeError as error:
                        raise DataError(f"{file}:{number}: not a problem of LiveCodeBench: {error}") from None
                start += len(line)


def _read(cases: str | list[_Case]) -> list[_Case]:
    return _cases.decode(hidden_tests(cases)) if isinstance(cases, str) else cases


def hidden_tests(text: str) -> str:
    """JSON of hidden tests, from JSON or from base64 of zlib of a pickled text. Raises ValueError."""
    if text.lstrip().startswith("["):
        return text
    try:
        packed = base64.b64decode(text, validate=True)
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, MOST_TEST_BYTES)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError(f"of more than {MOST_TEST_BYTES} bytes, or cut off")
        found = _TextOnly(io.BytesIO(content)).load()
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, IndexError, OverflowError) as error:
        raise ValueError(f"hidden tests are neither JSON nor packed as LiveCodeBench does: {error}") from None
    if not isinstance(found, str):
        raise ValueError(f"hidden tests hold a {type(found).__name__} instead of a text")
    return found


class _TextOnly(pickle.Unpickler):
    """Reads texts and other plain values. A pickle that names any function or class is refused before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a pickle that calls {module}.{name} is not opened")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a pickle with outside references is not opened")
