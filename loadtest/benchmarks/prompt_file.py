"""MLCommons' parquet files of prompts: each rendered and tokenised, with its right answer and the set it comes from."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.parquet import read_batches

TOKEN_COLUMNS = ("input_tokens", "tok_input")
"""Two names for the prompts' token ids: that of the published files, and another that the reference reads."""

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("input_tokens", pa.list_(pa.int32())),
        ("num_tokens", pa.int64()),
        ("text_input", pa.string()),
        ("original_messages", MESSAGES),
        ("ground_truth", pa.string()),
        ("dataset", pa.string()),
    ]
)


@dataclass(frozen=True)
class PromptRow:
    """One row. `text` is the prompt as rendered, `question` what the user said, `truth` the right answer."""

    ids: array[int]
    truth: str
    dataset: str
    text: str = ""
    question: str = ""


def read_prompts(file: Path, limit: int | None = None) -> list[PromptRow]:
    """The first `limit` rows, without texts. Raises DataError for a file that cannot be used."""
    rows: list[PromptRow] = []
    for batch in read_batches([file], [*TOKEN_COLUMNS, "ground_truth", "dataset"], TOKEN_COLUMNS, limit):
        truths, datasets = batch.column("ground_truth").to_pylist(), batch.column("dataset").to_pylist()
        for ids, truth, dataset in zip(token_ids(file, batch), truths, datasets, strict=True):
            if not ids:
                raise DataError(
                    f"{file}: prompt {len(rows)} is empty; every row needs the token ids of a rendered prompt"
                )
            rows.append(PromptRow(ids, "" if missing(truth) else str(truth), str(dataset).lower()))
    if not rows:
        raise DataError(f"{file}: holds no rows")
    return rows


def missing(truth: object) -> bool:
    """Whether a row has no right answer: pandas writes NaN for it."""
    return truth is None or truth != truth


def token_ids(file: Path, batch: pa.RecordBatch) -> list[array[int]]:
    """The token ids of each row of a batch; none where there are none. Raises DataError."""
    name = next((name for name in TOKEN_COLUMNS if name in batch.schema.names), None)
    if name is None:
        raise DataError(f"{file}: no column {' or '.join(TOKEN_COLUMNS)} with the prompts' token ids")
    column = batch.column(name)
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        raise DataError(f"{file}: column {name} holds {column.type} instead of lists of token ids")
    try:
        values = column.flatten().cast(pa.int32()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{file}: column {name} holds something else than token ids: {error}") from None
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    return [array("i", values[end - length : end].tobytes()) for end, length in zip(ends, lengths, strict=True)]


def write_prompts(file: Path, rows: Sequence[PromptRow]) -> None:
    """A file of the published columns."""
    columns = [
        [row.ids.tolist() for row in rows],
        [len(row.ids) for row in rows],
        [row.text for row in rows],
        [[{"role": "user", "content": row.question}] for row in rows],
        [row.truth for row in rows],
        [row.dataset for row in rows],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, schema=SCHEMA), file)
