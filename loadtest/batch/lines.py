"""OpenAI's batch lines out of a file, one after the other, and what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
MOST_LINE_BYTES = 64 * 2**20
MOST_ID_CHARACTERS = 512


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
    raw = _parquet_rows(file) if file.suffix == ".parquet" else _json_lines(file)
    for number, line in raw:
        yield _checked(file, number, line, model)


def _json_lines(file: Path) -> Iterator[tuple[int, _Line]]:
    with file.open("rb") as content:
        number = 0
        while text := content.readline(MOST_LINE_BYTES + 1):
            number += 1
            if len(text) > MOST_LINE_BYTES:
                raise LineError(f"{file}:{number}: the line is longer than {MOST_LINE_BYTES // 2**20} MiB")
            if text.strip():
                yield number, _decoded(file, number, text)


def _parquet_rows(file: Path) -> Iterator[tuple[int, _Line]]:
    """Columns as in a JSON line; `body` is its JSON text or a struct."""
    try:
        with pq.ParquetFile(file) as table:
            missing = {"custom_id", "method", "url", "body"} - set(table.schema_arrow.names)
            if missing:
                raise LineError(f"{file}: column {', '.join(sorted(missing))} is missing")
            number = 0
            for batch in table.iter_batches(columns=["custom_id", "method", "url", "body"], batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    if isinstance(row["body"], dict):
                        row["body"] = {key: value for key, value in row["body"].items() if value is not None}
                        text = _encoder.encode(row)
                    else:
                        head = _encoder.encode({key: row[key] for key in ("custom_id", "method", "url")})
                        text = head[:-1] + b',"body":' + str(row["body"]).encode() + b"}"
                    yield number, _decoded(file, number, text)
    except pa.ArrowException as error:
        raise LineError(f"{file}: not a readable parquet file: {error}") from None


def _decoded(file: Path, number: int, text: bytes) -> _Line:
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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
    return Line(number, line.custom_id, line.url, _encoder.encode(line.body), named)
