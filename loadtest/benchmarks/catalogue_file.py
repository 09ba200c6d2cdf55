"""The parquet files of Shopify/product-catalogue: products with a picture, the categories to choose from, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.parquet import read_columns, shards
from loadtest.data.official import how_to_get

SCHEMA = pa.schema(
    [
        ("product_image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("product_title", pa.string()),
        ("product_description", pa.string()),
        ("potential_product_categories", pa.list_(pa.string())),
        ("ground_truth_category", pa.string()),
        ("ground_truth_brand", pa.string()),
        ("ground_truth_is_secondhand", pa.bool_()),
    ]
)
COLUMNS = SCHEMA.names


def catalogue_files(path: Path) -> list[Path]:
    """The parquet files at `path`, in order. Raises DataError where there are none."""
    try:
        return shards(path)
    except DataError as error:
        raise DataError(f"{error}. {how_to_get('qwen3-vl')}") from None


def read_products(path: Path, limit: int | None = None) -> pa.Table:
    """The first `limit` rows. Raises DataError for what cannot be used."""
    return read_columns(catalogue_files(path), COLUMNS, limit=limit)


def write_products(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows by column name."""
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), file)
