"""Reads what LoadGen wrote: verdict, figures, settings in force, and the accuracy log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.loadgen.settings import LOG_PREFIX, QUICK_PREFIX, LoadGenError, TestPlan

_MARK = ":::MLLOG "
_CONDITIONS = {
    "result_perf_constraints_met": "a latency limit was not kept",
    "result_min_duration_met": "the run was shorter than the minimum duration",
    "result_min_queries_met": "fewer samples were issued than the minimum",
    "early_stopping_met": "early stopping was not met: too few queries to be sure of the latency limits, or too slow",
}
_LATENCIES = {
    "ttft_s": "result_first_token_{}_latency_ns",
    "tpot_s": "result_time_per_output_token_{}_ns",
    "e2e_s": "result_{}_latency_ns",
}
_PERCENTILES = {"p50": "50.00_percentile", "p90": "90.00_percentile", "p99": "99.00_percentile"}
NS = 1e-9


@dataclass(frozen=True)
class LogFacts:
    """A test as LoadGen's detail log tells it. Figures are None in accuracy mode, where LoadGen measures no speed."""

    valid: bool
    reasons: tuple[str, ...]
    samples_per_s: float | None
    tokens_per_s: float | None
    samples: int
    settings: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    """`ttft_s`, `tpot_s`, `e2e_s` -> percentile -> seconds, where LoadGen tells them."""


def read_log(plan: TestPlan, folder: Path) -> LogFacts:
    """Facts of a finished test. A test is valid where LoadGen says so, or ran in accuracy mode without errors.

    Raises LoadGenError where the log is missing or was cut off.
    """
    entries = read_entries(folder / f"{plan.log_prefix}detail.txt")
    values: dict[str, Any] = {entry["key"]: entry["value"] for entry in entries}
    errors = [str(entry["value"]) for entry in entries if entry["metadata"].get("is_error")]
    reasons = [text for key, text in _CONDITIONS.items() if values.get(key) is False]
    verdict = values.get("result_validity")
    if "generated_samples_per_query" not in values:
        raise LoadGenError(f"{folder}: LoadGen's detail log ends before the test began")
    return LogFacts(
        valid=verdict in (None, "VALID") and not errors,
        reasons=(*reasons, *(f"LoadGen error: {error}" for error in errors)),
        samples_per_s=values.get("result_samples_per_second", values.get("result_completed_samples_per_sec")),
        tokens_per_s=values.get("result_tokens_per_second", values.get("result_completed_tokens_per_second")),
        samples=int(values["generated_samples_per_query"]) * int(values["generated_query_count"]),
        latency=_latency(values),
        settings={
            key.removeprefix("effective_"): value for key, value in values.items() if key.startswith("effective_")
        },
    )


def _latency(values: dict[str, Any]) -> dict[str, dict[str, float]]:
    found = {
        figure: {name: NS * values[key] for name, part in _PERCENTILES.items() if (key := form.format(part)) in values}
        for figure, form in _LATENCIES.items()
    }
    return {figure: percentiles for figure, percentiles in found.items() if percentiles}


def read_responses(plan: TestPlan, folder: Path) -> dict[int, bytes]:
    """Sample index -> response bytes of the accuracy log. Raises LoadGenError where it is no such log."""
    return dict(read_accuracy_log(folder / f"{plan.log_prefix}accuracy.json"))


def read_accuracy_log(file: Path) -> list[tuple[int, bytes]]:
    """Sample index and response bytes of each entry; a performance run may log a sample more than once.

    Raises LoadGenError where it is no such log.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return [(int(entry["qsl_idx"]), bytes.fromhex(entry["data"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadGenError(f"{file}: not a complete accuracy log: {error!r}") from None


def find_log(folder: Path, name: str) -> Path:
    """A log of a run's folder by the end of its name (`detail.txt`, `accuracy.json`), quick runs' too.

    Raises LoadGenError where there is none.
    """
    for prefix in (LOG_PREFIX, QUICK_PREFIX + LOG_PREFIX):
        if (file := folder / f"{prefix}{name}").is_file():
            return file
    raise LoadGenError(f"{folder}: no {LOG_PREFIX}{name} there; give the folder of a finished run")


def read_values(file: Path) -> dict[str, Any]:
    """Keys and values of a detail log. Raises LoadGenError."""
    return {entry["key"]: entry["value"] for entry in read_entries(file)}


def read_entries(file: Path) -> list[dict[str, Any]]:
    """Entries of a detail log: `key`, `value`, `metadata`. Raises LoadGenError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line.removeprefix(_MARK)) for line in lines if line.startswith(_MARK)]
    except (OSError, ValueError) as error:
        raise LoadGenError(f"{file}: not a complete LoadGen log: {error}") from None
