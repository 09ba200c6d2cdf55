"""Reads the official parquet files, and says clearly what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.benchmarks.base import DataError


def shards(path: Path) -> list[Path]:
    """The parquet files at `path`: itself, or those in the folder (or its `data`), train before test as published."""
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not found:
        raise DataError(f"{path}: no such parquet file, nor a folder with *.parquet or data/*.parquet in it")
    return sorted(found, key=lambda file: (file.name.startswith("test"), file.name))


def read_columns(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    """Those columns of every shard, in order. Raises DataError for a missing column, an unreadable or empty file."""
    tables = []
    for file in shards(path):
        try:
            present = pq.read_schema(file).names
            missing = [name for name in columns if name not in present and name not in optional]
            if missing:
                raise DataError(
                    f"{file}: column {', '.join(missing)} is missing (it has {', '.join(present)}); "
                    "give the file that MLCommons publishes, or one with the same columns"
                )
            tables.append(pq.read_table(file, columns=[name for name in columns if name in present]))
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{file}: not a readable parquet file: {error}") from None
    table = pa.concat_tables(tables, promote_options="default")
    if table.num_rows == 0:
        raise DataError(f"{path}: holds no rows")
    return table
