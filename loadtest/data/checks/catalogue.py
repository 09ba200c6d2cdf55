"""Check of parquet files of products against the catalogues that MLCommons names for Qwen3-VL."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from cluster.progress import Progress
from loadtest.benchmarks.catalogue_file import COLUMNS, catalogue_files
from loadtest.benchmarks.parquet import read_batches
from loadtest.benchmarks.product_prompt import prompt_of
from loadtest.data.checks.finding import Finding, checksums, columns, equal, none_of
from loadtest.data.checksums import recorded
from loadtest.data.official import OFFICIAL, Kind

MLCOMMONS_WORDS = "MLCommons' words"


def check(path: Path, kind: Kind) -> Iterator[Finding]:
    official = OFFICIAL["qwen3-vl"][kind]
    files = catalogue_files(path)
    yield Finding("files", f"{files[0].name} to {files[-1].name} ({len(files)})" if len(files) > 1 else files[0].name)
    yield columns(files[0], COLUMNS)
    pictures, categories, rows = list[str](), list[str](), 0
    with Progress("reading products", "products") as progress:
        began, total = time.time(), sum(pq.read_metadata(file).num_rows for file in files)
        for batch in read_batches(files, COLUMNS):
            for number, row in enumerate(batch.to_pylist(), rows):
                pictures += [f"row {number}"] * (not _is_picture(row["product_image"]))
                categories += [f"row {number}"] * (not _has_categories(row))
            rows += batch.num_rows
            progress.update(total, rows, time.time() - began)
    yield equal("samples", rows, official.samples)
    yield none_of("products without a readable picture", pictures)
    yield none_of("products without a category, or categories to choose from", categories)
    yield _prompt(path)
    yield from _revision(files, official.revision)
    yield from checksums(files)


def _is_picture(image: Any) -> bool:
    try:
        Image.open(io.BytesIO(image["bytes"]))
    except (TypeError, KeyError, OSError, Image.DecompressionBombError):
        return False
    return True


def _has_categories(row: dict[str, Any]) -> bool:
    return bool(row["ground_truth_category"] and row["potential_product_categories"])


def _prompt(path: Path) -> Finding:
    deviation = prompt_of(path if path.is_dir() else path.parent).deviation
    found = "other words" if deviation else MLCOMMONS_WORDS
    return Finding("prompt.json", found, MLCOMMONS_WORDS, not deviation, deviation or "")


def _revision(files: list[Path], expected: str | None) -> Iterator[Finding]:
    found = {record.revision for file in files if (record := recorded(file)) is not None and record.revision}
    if found:
        yield equal("revision, by the hub", ", ".join(sorted(found)), expected)
