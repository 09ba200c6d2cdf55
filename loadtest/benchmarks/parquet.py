"""Reads the official parquet files, and says clearly what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.benchmarks.base import DataError

BATCH_ROWS = 256
"""Decoded at once: a batch of the catalogue is 30 MB."""

PICKLE_ENDINGS = (".pkl", ".pickle")
PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def shards(path: Path) -> list[Path]:
    """The parquet files at `path`: itself, or those in the folder (or its `data`), train before test as published."""
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not found:
        raise DataError(f"{path}: no such parquet file, nor a folder with *.parquet or data/*.parquet in it")
    return sorted(found, key=lambda file: (file.name.startswith("test"), file.name))


def read_columns(
    files: Sequence[Path], columns: Sequence[str], optional: Sequence[str] = (), limit: int | None = None
) -> pa.Table:
    """Those columns of all files, in order, of the first `limit` rows: no more is read.

    Raises DataError for a missing column, an unreadable or empty file.
    """
    tables = [pa.Table.from_batches([batch]) for batch in read_batches(files, columns, optional, limit)]
    if not any(table.num_rows for table in tables):
        raise DataError(f"{files[0]}: holds no rows")
    return pa.concat_tables(tables, promote_options="default")


def read_batches(
    files: Sequence[Path], columns: Sequence[str], optional: Sequence[str] = (), limit: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The same piece by piece, for data that need not be held. Raises DataError."""
    left = limit
    for file in files:
        try:
            for batch in _batches(file, columns, optional):
                yield batch if left is None else batch.slice(0, left)
                left = None if left is None else left - batch.num_rows
                if left is not None and left <= 0:
                    return
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: not a readable parquet file: {error}") from None


def _batches(file: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[pa.RecordBatch]:
    refuse_pickle(file)
    with pq.ParquetFile(file) as content:
        present = content.schema_arrow.names
        missing = [name for name in columns if name not in present and name not in optional]
        if missing:
            raise DataError(
                f"{file}: column {', '.join(missing)} is missing (it has {', '.join(present)}); "
                "give the file that MLCommons publishes, or one with the same columns"
            )
        yield from content.iter_batches(BATCH_ROWS, columns=[name for name in columns if name in present])


def refuse_pickle(file: Path) -> None:
    """Raises DataError for a pickle, by its ending or its first bytes; OSError."""
    with file.open("rb") as content:
        start = content.read(2)
    if file.suffix.lower() in PICKLE_ENDINGS or start in PICKLE_STARTS:
        raise DataError(
            f"{file}: a pickle, which may run any program when it is opened, so it is not opened here. "
            "MLCommons offers the same data as parquet. Or convert it where nothing is at stake:\n"
            f"  python -c \"import pandas; pandas.read_pickle('{file.name}').to_parquet('{file.stem}.parquet')\""
        )
