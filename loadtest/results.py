"""A run's folder: LoadGen's logs, samples.parquet, summary.json and report.html, each file whole or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.durable import flush
from loadtest.client import Outcome

SUMMARY = "summary.json"
SAMPLES = "samples.parquet"
REPORT = "report.html"

_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("index", pa.int64()),
        ("started", pa.float64()),
        ("finished", pa.float64()),
        ("attempts", pa.int32()),
        ("tokens", pa.int64()),
        ("pool", pa.string()),
        ("replica", pa.string()),
        ("due", pa.float64()),
        ("first", pa.float64()),
        ("text", pa.string()),
        ("error", pa.string()),
    ]
)


def new_run_folder(out: Path, label: str, now: datetime | None = None) -> Path:
    """A new folder `<label>-<UTC time>` in `out`; a number is added where two runs start in the same second."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    out.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = out / (f"{label}-{stamp}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_samples(folder: Path, outcomes: Iterable[Outcome], label: str) -> None:
    """samples.parquet: a row per sample in LoadGen's order; `label` (quick or official) goes into its metadata."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.place)
    columns = {
        "place": [outcome.place for outcome in ordered],
        "index": [outcome.index for outcome in ordered],
        "started": [outcome.started for outcome in ordered],
        "finished": [outcome.finished for outcome in ordered],
        "attempts": [outcome.attempts for outcome in ordered],
        "tokens": [outcome.answer.tokens if outcome.answer else 0 for outcome in ordered],
        "pool": [outcome.pool for outcome in ordered],
        "replica": [outcome.replica for outcome in ordered],
        "due": [_known(outcome.due) for outcome in ordered],
        "first": [_known(outcome.first) for outcome in ordered],
        "text": [outcome.answer.text if outcome.answer else None for outcome in ordered],
        "error": [outcome.error or None for outcome in ordered],
    }
    table = pa.table(columns, schema=_SCHEMA.with_metadata({"label": label}))
    atomically(folder / SAMPLES, lambda file: pq.write_table(table, file))


def _known(time: float) -> float | None:
    return None if math.isnan(time) else time


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    write_text(folder / SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str) -> None:
    atomically(file, lambda path: path.write_text(text, encoding="utf-8"))


def read_summary(folder: Path) -> dict[str, Any]:
    """Raises OSError, or ValueError where it is no summary."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    if not isinstance(summary, dict) or "benchmark" not in summary:
        raise ValueError(f"{folder / SUMMARY} is no summary of a load test")
    return summary


def replicas_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that served the models under test, as the fleet told of them; none of an endpoint of others."""
    models = str(summary["model"]).split(", ")
    told = (summary.get("fleet") or {}).get("models", ())
    return [replica for model in told if model["name"] in models for replica in model["replicas"]]


def atomically(file: Path, write: Callable[[Path], object]) -> None:
    """`write` fills a temporary file, which gets its name once it lies on disk. Where it raises nothing is left."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        flush(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    flush(file.parent)
