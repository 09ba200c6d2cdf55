"""OpenAI's batch lines out of a file, one after the other, and what is wrong with one that is not."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
MOST_LINE_BYTES = 64 * 2**20
MOST_ID_CHARACTERS = 512
COLUMNS = ("custom_id", "method", "url", "body")
ROWS_AT_ONCE = 256


class LineError(ValueError):
    """A line that cannot be asked. The message names it and says what to do."""


@dataclass(frozen=True)
class Line:
    """`number`: counted from 1. `body`: JSON of the request. `model`: the model that it names."""

    number: int
    custom_id: str
    url: str
    body: bytes
    model: str


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


def read_lines(file: Path, model: str | None = None) -> Iterator[Line]:
    """The lines of a JSONL or parquet file, in order, one in memory at a time; `model` replaces what they name.

    Raises LineError for the first that is wrong, OSError.
    """
    raw = _parquet_rows(file) if file.suffix.lower() == ".parquet" else _json_lines(file)
    for number, line in raw:
        yield _checked(file, number, line, model)


def _json_lines(file: Path) -> Iterator[tuple[int, _Line]]:
    with file.open("rb") as content:
        number = 0
        while text := content.readline(MOST_LINE_BYTES + 1):
            number += 1
            if number == 1:
                text = text.removeprefix(codecs.BOM_UTF8)
            if len(text) > MOST_LINE_BYTES:
                raise LineError(f"{file}:{number}: the line is longer than {MOST_LINE_BYTES // 2**20} MiB")
            if text.strip():
                yield number, _parsed(file, number, _decoder.decode, text)


def _parquet_rows(file: Path) -> Iterator[tuple[int, _Line]]:
    """Columns as in a JSON line; `body` is its JSON text or a struct."""
    try:
        with pq.ParquetFile(file) as table:
            missing = set(COLUMNS) - set(table.schema_arrow.names)
            if missing:
                raise LineError(f"{file}: column {', '.join(sorted(missing))} is missing")
            number = 0
            for batch in table.iter_batches(columns=list(COLUMNS), batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _parsed(file, number, _from_row, row)
    except pa.ArrowException as error:
        raise LineError(f"{file}: not a readable parquet file: {error}") from None


def _from_row(row: dict[str, Any]) -> _Line:
    body = row["body"]
    body = msgspec.json.decode(body) if isinstance(body, str | bytes) else _without_nulls(body)
    return msgspec.convert(row | {"body": body}, _Line)


def _without_nulls(value: Any) -> Any:
    """Arrow gives all structs of a column the same fields: those that one was written without are null."""
    if isinstance(value, dict):
        return {key: _without_nulls(field) for key, field in value.items() if field is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _parsed(file: Path, number: int, parse: Callable[[Any], _Line], raw: Any) -> _Line:
    try:
        return parse(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineError(
            f"{file}:{number}: no batch line: {error}; a line is "
            '{"custom_id": "...", "method": "POST", "url": "/v1/...", "body": {...}}'
        ) from None


def _checked(file: Path, number: int, line: _Line, model: str | None) -> Line:
    def wrong(reason: str) -> LineError:
        return LineError(f"{file}:{number}: {reason}")

    if not 0 < len(line.custom_id) <= MOST_ID_CHARACTERS:
        raise wrong(f"custom_id must have 1 to {MOST_ID_CHARACTERS} characters")
    if line.method != "POST":
        raise wrong(f"method is '{line.method}'; it must be POST")
    if line.url not in ROUTES:
        raise wrong(f"url is '{line.url}'; a batch may ask {', '.join(ROUTES)}")
    if line.body.get("stream"):
        raise wrong("stream is set; answers of a batch are whole, leave it out")
    if model is not None:
        line.body["model"] = model
    named = line.body.get("model")
    if not isinstance(named, str) or not named:
        raise wrong("body.model is missing; name one there or give --model")
    body = _encoder.encode(line.body)
    if len(body) > MOST_LINE_BYTES:
        raise wrong(f"the body is longer than {MOST_LINE_BYTES // 2**20} MiB")
    return Line(number, line.custom_id, line.url, body, named)
