"""Folders as official runs of full length would leave them, in the form of LoadGen's logs, to test submissions by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtest.accuracy_file import accuracy_text
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Mode, Scenario, Score
from loadtest.compliance.audit import AUDITS
from loadtest.compliance.evidence import PASS
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.settings import TestPlan, official_settings, user_conf
from loadtest.submission.gate import VERIFICATION_FILES

QPS = 20.0
VALUES = {"whisper": 97.9, "qwen3-vl": 0.79, "gpt-oss": 83.0}


def replica(official: Any, number: int = 0, vendor: str = "nvidia", accelerator: str = "h200") -> dict[str, Any]:
    return {
        "replica": f"m@{vendor}#{number}",
        "incarnation": f"{number}",
        "url": f"http://10.0.0.{1 + (vendor == 'amd')}:{8000 + number}",
        "pool": vendor,
        "vendor": vendor,
        "engine": "cuda" if vendor == "nvidia" else "rocm",
        "engine_version": "0.14.1",
        "accelerator": accelerator,
        "tensor_parallel": 1,
        "slots": 256,
        "checkpoint": official.checkpoint,
        "revision": official.revision,
        "caches": False,
    }


def mixed(official: Any) -> list[dict[str, Any]]:
    """Eight GPUs of each vendor, a node each."""
    return [
        *(replica(official, number) for number in range(8)),
        *(replica(official, number, "amd", "mi350x") for number in range(8)),
    ]


def run_folder(
    home: Path,
    name: str,
    scenario: Scenario,
    kind: str,
    named: Round = Round.V6_1,
    replicas: Sequence[dict[str, Any]] | None = None,
    qps: float = QPS,
) -> Path:
    """A run of `kind`: performance, accuracy or a compliance test."""
    tested = benchmark(name)
    official, audit = tested.official, AUDITS.get(kind)
    mode = Mode.ACCURACY if kind == Mode.ACCURACY else Mode.PERFORMANCE
    plan = TestPlan(official, mode, 1, False, qps, scenario, named, audit)
    plan = replace(plan, samples=plan.official_samples)
    folder = home / f"{name}-{scenario.lower()}-{kind.lower()}"
    folder.mkdir(parents=True)
    (folder / "user.conf").write_text(user_conf(plan))
    (folder / "mlperf_log_detail.txt").write_text(_detail(plan))
    (folder / "mlperf_log_summary.txt").write_text("MLPerf Results Summary\nResult is : VALID\n")
    log = folder / "mlperf_log_accuracy.json"
    entries = [{"seq_id": n, "qsl_idx": n, "data": "0102" * 20, "token_count": 20} for n in range(500)]
    log.write_text(json.dumps(entries if mode is Mode.ACCURACY or audit else []))
    value = VALUES[name]
    if mode is Mode.ACCURACY:
        (folder / "accuracy.txt").write_text(accuracy_text(name, Score("m", value, "%"), log))
    if audit is not None:
        (folder / "audit.config").write_text(audit.config(plan.samples))
        for file in VERIFICATION_FILES[kind]:
            (folder / file).write_text(f"{PASS}\n")
    (folder / "summary.json").write_text(json.dumps(_summary(plan, name, value, replicas)))
    return folder


def official_runs(home: Path, named: Round = Round.V6_1, interactive: bool = True) -> list[Path]:
    """Everything that a closed submission of all three models needs."""
    wanted = {
        "whisper": ([Scenario.OFFLINE], ["TEST01"]),
        "qwen3-vl": ([Scenario.OFFLINE, Scenario.SERVER], []),
        "gpt-oss": (
            [Scenario.OFFLINE, Scenario.SERVER, *([Scenario.INTERACTIVE] if interactive else [])],
            ["TEST07", "TEST09"],
        ),
    }
    return [
        run_folder(home, name, scenario, kind, named)
        for name, (scenarios, tests) in wanted.items()
        for scenario in scenarios
        for kind in ("performance", "accuracy", *tests)
    ]


def _detail(plan: TestPlan) -> str:
    values: dict[str, Any] = {f"effective_{key}": value for key, value in official_settings(plan).items()}
    samples = plan.samples
    values |= {"effective_accuracy_sample_count": plan.official.accuracy_samples, "result_validity": "VALID"}
    values |= {"generated_query_duration": 640_000_000_000, "early_stopping_met": True}
    values |= {"effective_min_duration_ms": 600_000, "effective_samples_per_query": samples}
    values |= {"requested_use_token_latencies": plan.official.loadgen_model.startswith("gpt-oss")}
    values |= {"generated_query_count": samples, "generated_samples_per_query": 1}
    values |= {"result_samples_per_second": 20.0, "result_tokens_per_second": 25_000.0}
    values |= {"result_completed_samples_per_sec": 20.0, "result_completed_tokens_per_second": 25_000.0}
    values |= {"result_99.00_percentile_latency_ns": 1_100_000_000}
    values |= {"result_first_token_99.00_percentile_latency_ns": 800_000_000}
    values |= {"result_time_per_output_token_99.00_percentile_ns": 12_000_000}
    return "".join(f":::MLLOG {json.dumps(_entry(key, value))}\n" for key, value in values.items())


def _entry(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "metadata": {"is_error": False, "is_warning": False}}


def add_error(folder: Path, error: str) -> None:
    """As LoadGen would log it."""
    with (folder / "mlperf_log_detail.txt").open("a") as log:
        entry = {"key": "error_runtime", "value": error, "metadata": {"is_error": True}}
        log.write(f":::MLLOG {json.dumps(entry)}\n")


def change(folder: Path, **fields: Any) -> None:
    """Sets fields of a run's summary."""
    file = folder / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def change_log(folder: Path, key: str, value: Any) -> None:
    """Sets a value of the detail log."""
    with (folder / "mlperf_log_detail.txt").open("a") as log:
        log.write(f":::MLLOG {json.dumps(_entry(key, value))}\n")


def _summary(plan: TestPlan, name: str, value: float, replicas: Sequence[dict[str, Any]] | None) -> dict[str, Any]:
    served = list(replicas or [replica(plan.official, number) for number in range(8)])
    accuracy = {"metric": "m", "value": value, "unit": "%", "detail": {}} if plan.mode is Mode.ACCURACY else None
    return {
        "label": "official settings",
        "state": "complete",
        "benchmark": name,
        "scenario": plan.scenario,
        "mode": plan.mode,
        "round": plan.round,
        "compliance": plan.audit.name if plan.audit else None,
        "target_qps": plan.target_qps,
        "unofficial": list(plan.online.unofficial) if plan.online else [],
        "data_set": {"description": "/data/official", "embedded": False, "samples": plan.samples},
        "deviations": [],
        "model": "m",
        "checkpoint": plan.official.checkpoint,
        "revision": plan.official.revision,
        "caches": "off",
        "verdict": "VALID",
        "reasons": [],
        "accuracy": accuracy,
        "fleet": {"fleet": "f", "mlperf": True, "models": [{"name": "m", "replicas": served}]},
        "versions": {"ray": "2.60.0", "mlcommons-loadgen": "6.0.17"},
    }


SYSTEM = {
    "status": "available",
    "system_name": "Two nodes",
    "host_processor_model_name": "AMD EPYC 9654",
    "host_processors_per_node": 2,
    "host_processor_core_count": 96,
    "host_memory_capacity": "2 TB",
    "host_storage_capacity": "8 TB",
    "host_storage_type": "NVMe",
    "accelerator_memory_capacity": "141 GB and 288 GB",
    "operating_system": "Ubuntu 24.04",
    "host_memory_configuration": "24x DDR5",
    "host_networking": "400 GbE",
    "host_networking_topology": "single switch",
    "accelerator_host_interconnect": "PCIe Gen5",
    "accelerator_interconnect": "NVLink and Infinity Fabric",
    "accelerator_memory_configuration": "HBM3e",
    "cooling": "air",
    "host_network_card_count": 2,
}
"""What a user fills in: the fields that no fleet tells."""
