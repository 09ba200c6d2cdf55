"""The checks that MLCommons' submission checker makes of a tree (v6.0 and v6.1), as far as they concern these models.

Written from what the checker is known to look at, not from its code. Problems are returned, each with its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.loadgen.rounds import SEEDS, Round

MODELS = {"whisper": 1633, "qwen3-vl-235b-a22b": 48_289, "gpt-oss-120b": 6396}
ACCURACY_SAMPLES = {"whisper": 1633, "qwen3-vl-235b-a22b": 48_289, "gpt-oss-120b": 4395}
ACCURACY = {
    "whisper": (r"Word Error Rate\:.*, accuracy=([0-9\.]+)%", 96.953571),
    "qwen3-vl-235b-a22b": (r"\{.*\"f1\":\s*([\d\.]+).*\}", 0.782397),
    "gpt-oss-120b": (r".*'exact_match':\s([\d.]+).*", 82.2987),
}
SCENARIOS = {
    Round.V6_0: {
        "whisper": ({"Offline"}, set()),
        "qwen3-vl-235b-a22b": ({"Offline", "Server"}, set()),
        "gpt-oss-120b": ({"Offline"}, {"Server", "Interactive"}),
    },
    Round.V6_1: {
        "whisper": ({"Offline"}, set()),
        "qwen3-vl-235b-a22b": ({"Offline"}, {"Server", "Interactive"}),
        "gpt-oss-120b": ({"Offline"}, {"Server", "Interactive"}),
    },
}
TOKEN_LIMITS_NS = {"Server": (3_000_000_000, 80_000_000), "Interactive": (2_000_000_000, 15_000_000)}
QWEN_LIMIT_NS = 12_000_000_000
COMPLIANCE = {
    "whisper": {"TEST01": ("verify_performance.txt", "performance/run_1/mlperf_log_detail.txt")},
    "gpt-oss-120b": {"TEST07": ("verify_accuracy.txt",), "TEST09": ("verify_output_len.txt",)},
}
TEST01_ACCURACY = {"mlperf_log_accuracy.json", "accuracy.txt", "baseline_accuracy.txt", "compliance_accuracy.txt"}
FIELDS = 35
MAY_BE_EMPTY = 9
MEASURED = (
    *("input_data_types", "retraining", "starting_weights_filename", "weight_data_types", "weight_transformations"),
)
MOST_LOG = 10 * 1024


def problems(tree: Path, named: Round) -> list[str]:
    """Everything that the checker would say of the tree."""
    return list(_problems(tree, named))


def _problems(tree: Path, named: Round) -> Iterator[str]:
    divisions = [folder for folder in tree.iterdir() if folder.is_dir()]
    for division in divisions:
        if division.name not in ("closed", "open"):
            yield f"{division.name} is no division"
        for submitter in division.iterdir():
            if not any((submitter / "src").rglob("*")):
                yield f"{submitter}: no src"
            for system in (submitter / "results").iterdir():
                yield from _system(submitter, system.name, division.name)
                yield from _results(system, division.name, named)


def _system(submitter: Path, name: str, division: str) -> Iterator[str]:
    file = submitter / "systems" / f"{name}.json"
    if not file.is_file():
        yield f"{file} is missing"
        return
    system = {key: value for key, value in json.loads(file.read_text()).items() if key != "rehearsal"}
    if len(system) != FIELDS:
        yield f"{file}: {len(system)} fields"
    if sum(value in ("", None) for value in system.values()) > MAY_BE_EMPTY:
        yield f"{file}: empty fields"
    for key in ("number_of_nodes", "accelerators_per_node"):
        if not str(system.get(key)).isdigit():
            yield f"{file}: {key} is {system.get(key)!r}: the exporter dies"
    if (system.get("division"), system.get("submitter")) != (division, submitter.name):
        yield f"{file}: division or submitter is not its folder's"
    if system.get("status") not in ("available", "preview", "rdi"):
        yield f"{file}: status {system.get('status')}"
    if system.get("system_type") not in ("datacenter", "edge", "datacenter,edge"):
        yield f"{file}: system_type {system.get('system_type')}"


def _results(system: Path, division: str, named: Round) -> Iterator[str]:
    if division == "open" and not (system / "model_mapping.json").is_file():
        yield f"{system}: no model_mapping.json"
    for model in (folder for folder in system.iterdir() if folder.is_dir()):
        if model.name not in MODELS:
            yield f"{model}: unknown model"
            continue
        there = {folder.name for folder in model.iterdir()}
        required, either = SCENARIOS[named][model.name]
        if division == "closed" and (required - there or (either and not either & there)):
            yield f"{model}: {there} is not the set of scenarios that {named} asks for"
        for scenario in model.iterdir():
            yield from _scenario(scenario, model.name, division, named)


def _scenario(folder: Path, model: str, division: str, named: Round) -> Iterator[str]:
    measured = json.loads((folder / "measurements.json").read_text())
    yield from (f"{folder}: measurements lack {key}" for key in MEASURED if not measured.get(key))
    yield from (f"{folder}: {name} is empty" for name in ("user.conf", "README.md") if not (folder / name).read_bytes())
    yield from _performance(folder / "performance/run_1", model, folder.name, division, named)
    yield from _accuracy(folder / "accuracy", model, division)
    if division == "closed":
        for test, files in COMPLIANCE.get(model, {}).items():
            for name in files:
                file = folder / test / name
                if not file.is_file() or (name.startswith("verify") and "TEST PASS" not in file.read_text()):
                    yield f"{file}: missing, or no TEST PASS"
            if test == "TEST01":
                yield from _performance(folder / test / "performance/run_1", model, folder.name, division, named)
                yield from _test01(folder / test)


def _test01(folder: Path) -> Iterator[str]:
    logs = {path.name for path in (folder / "performance/run_1").iterdir()}
    if logs != {"mlperf_log_detail.txt", "mlperf_log_summary.txt"}:
        yield f"{folder}: performance/run_1 holds {logs}"
    if "TEST PASS" in (folder / "verify_accuracy.txt").read_text():
        return
    there = {path.name for path in (folder / "accuracy").iterdir()}
    if there != TEST01_ACCURACY:
        yield f"{folder}: accuracy holds {there}"
    pattern, values = ACCURACY["whisper"][0], []
    for name in ("baseline_accuracy.txt", "compliance_accuracy.txt"):
        file = folder / "accuracy" / name
        values.append(_value(pattern, file.read_text()) or 0.0 if file.is_file() else 0.0)
    if not all(values) or abs(1 - values[0] / values[1]) > 0.01:
        yield f"{folder}: accuracies {values}"


def _performance(folder: Path, model: str, scenario: str, division: str, named: Round) -> Iterator[str]:
    log, errors = _log(folder / "mlperf_log_detail.txt")
    if not (folder / "mlperf_log_summary.txt").is_file():
        yield f"{folder}: no summary"
    yield from (f"{folder}: LoadGen error {error}" for error in errors)
    if log.get("effective_performance_sample_count", 0) < MODELS[model]:
        yield f"{folder}: performance_sample_count {log.get('effective_performance_sample_count')}"
    seeds = SEEDS[named]
    told = tuple(log.get(f"effective_{name}_rng_seed") for name in ("qsl", "sample_index", "schedule"))
    if told != (seeds.qsl, seeds.sample_index, seeds.schedule):
        yield f"{folder}: seeds {told}"
    if log.get("effective_min_duration_ms", 0) < 600_000:
        yield f"{folder}: min_duration_ms {log.get('effective_min_duration_ms')}"
    if model == "gpt-oss-120b" and not log.get("requested_use_token_latencies"):
        yield f"{folder}: use_token_latencies is off"
    if log.get("effective_scenario") != ("Server" if scenario == "Interactive" else scenario):
        yield f"{folder}: a log of {log.get('effective_scenario')}"
    if scenario == "Offline":
        if division == "closed" and log.get("effective_samples_per_query", 0) < MODELS[model]:
            yield f"{folder}: samples_per_query {log.get('effective_samples_per_query')}"
        metric = "result_samples_per_second" if model.startswith("qwen") else "result_tokens_per_second"
    elif model.startswith("qwen"):
        if not log.get("early_stopping_met") or log.get("result_99.00_percentile_latency_ns", 1e99) > QWEN_LIMIT_NS:
            yield f"{folder}: latency"
        metric = "result_completed_samples_per_sec"
    else:
        first, each = TOKEN_LIMITS_NS[scenario]
        if log.get("result_first_token_99.00_percentile_latency_ns", 1e99) >= first:
            yield f"{folder}: TTFT"
        if log.get("result_time_per_output_token_99.00_percentile_ns", 1e99) >= each:
            yield f"{folder}: TPOT"
        metric = "result_completed_tokens_per_second"
    if not log.get(metric):
        yield f"{folder}: no {metric}"


def _accuracy(folder: Path, model: str, division: str) -> Iterator[str]:
    text = (folder / "accuracy.txt").read_text()
    pattern, threshold = ACCURACY[model]
    value = _value(pattern, text)
    if value is None or (division == "closed" and value < threshold):
        yield f"{folder}: accuracy {value}"
    if not re.search(r"^hash=\S+", text, re.MULTILINE):
        yield f"{folder}: no hash"
    size = (folder / "mlperf_log_accuracy.json").stat().st_size
    if not 0 < size <= MOST_LOG:
        yield f"{folder}: a log of {size} bytes"
    log, errors = _log(folder / "mlperf_log_detail.txt")
    yield from (f"{folder}: LoadGen error {error}" for error in errors)
    if log.get("effective_accuracy_sample_count") != ACCURACY_SAMPLES[model]:
        yield f"{folder}: accuracy_sample_count {log.get('effective_accuracy_sample_count')}"


def _value(pattern: str, text: str) -> float | None:
    """The last that stands at the start of a line."""
    found = [match for line in text.splitlines() if (match := re.match(pattern, line))]
    return float(found[-1][1]) if found else None


def _log(file: Path) -> tuple[dict[str, Any], list[str]]:
    entries = [
        json.loads(line.removeprefix(":::MLLOG "))
        for line in file.read_text().splitlines()
        if line.startswith(":::MLLOG ")
    ]
    errors = [str(entry["value"]) for entry in entries if entry["metadata"].get("is_error")]
    return {entry["key"]: entry["value"] for entry in entries}, errors
