"""The tree of a submission in the layout of v6.0 and v6.1: every file's path and content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deployments.engine.process import PROJECT_ROOT
from loadtest.accuracy_file import ACCURACY_FILE
from loadtest.benchmarks.base import Mode
from loadtest.compliance.audit import AUDIT_CONFIG
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.session import USER_CONF
from loadtest.submission.gate import TEST01_WITHIN, VERIFICATION_FILES, Division
from loadtest.submission.marks import encoded
from loadtest.submission.runs import Entry, Run

MOST_ACCURACY_LOG = 10 * 1024
KEPT_OF_LOG = 4 * 1024
"""Bytes of a longer log that stay at its begin and at its end; its hash in accuracy.txt is that of the whole."""

PACKAGES = ("cluster", "deployments", "loadtest")
SOURCES = (".py", ".yaml", ".toml")
INPUT_TYPES = {"whisper": "fp32", "qwen3-vl": "uint8", "gpt-oss": "int32"}
WEIGHT_TYPES = {"whisper": "bf16", "qwen3-vl": "bf16", "gpt-oss": "mxfp4"}
"""Those of the official checkpoints."""

File = tuple[PurePosixPath, bytes]


@dataclass(frozen=True)
class Submission:
    """What goes into a tree. `measurements`: fields of measurements.json by benchmark, over our own."""

    entries: Sequence[Entry]
    system: Mapping[str, Any]
    system_id: str
    division: Division
    submitter: str
    round: Round
    measurements: Mapping[str, Mapping[str, Any]]


def files(submission: Submission) -> Iterator[File]:
    """All files, by their paths below the tree."""
    home = PurePosixPath(submission.division) / submission.submitter
    results = home / "results" / submission.system_id
    yield home / "systems" / f"{submission.system_id}.json", encoded(dict(submission.system))
    yield home / "documentation" / "calibration.md", _CALIBRATION.encode()
    yield from ((home / "src" / path, content) for path, content in _sources())
    if submission.division is Division.OPEN:
        names = sorted({entry.runs[0].official.loadgen_model for entry in submission.entries})
        yield results / "model_mapping.json", encoded({name: name for name in names})
    for entry in submission.entries:
        folder = results / entry.runs[0].official.loadgen_model / entry.scenario
        yield from ((folder / path, content) for path, content in _entry(entry, submission))


def _entry(entry: Entry, submission: Submission) -> Iterator[File]:
    performance, accuracy = entry.of(Mode.PERFORMANCE), entry.of(Mode.ACCURACY)
    first = performance or entry.runs[0]
    yield PurePosixPath("measurements.json"), encoded(_measurements(first, submission))
    yield PurePosixPath(USER_CONF), _not_empty((first.folder / USER_CONF).read_bytes())
    yield PurePosixPath("README.md"), _readme(entry, submission).encode()
    if performance is not None:
        yield from _logs(performance, "performance/run_1")
    if accuracy is not None:
        yield from _logs(accuracy, "accuracy")
        yield PurePosixPath("accuracy/mlperf_log_accuracy.json"), truncated(accuracy.log("accuracy.json").read_bytes())
        if (file := accuracy.folder / ACCURACY_FILE).is_file():
            yield PurePosixPath("accuracy") / ACCURACY_FILE, file.read_bytes()
    for run in entry.runs:
        if run.compliance is not None and submission.division is Division.CLOSED:
            yield from _compliance(run, run.compliance)


def _logs(run: Run, folder: str) -> Iterator[File]:
    for name in ("detail.txt", "summary.txt"):
        yield PurePosixPath(folder) / f"mlperf_log_{name}", run.log(name).read_bytes()


def _compliance(run: Run, test: str) -> Iterator[File]:
    yield from _logs(run, f"{test}/performance/run_1")
    yield (
        PurePosixPath(test) / "accuracy" / "mlperf_log_accuracy.json",
        truncated(run.log("accuracy.json").read_bytes()),
    )
    for name in (*VERIFICATION_FILES[test], *TEST01_WITHIN, AUDIT_CONFIG):
        if (file := run.folder / name).is_file():
            yield PurePosixPath(test) / name, file.read_bytes()


def truncated(log: bytes) -> bytes:
    """An accuracy log within the size that is taken: its begin and its end."""
    if len(log) <= MOST_ACCURACY_LOG:
        return log
    return log[:KEPT_OF_LOG] + b"\n\n...\n\n" + log[-KEPT_OF_LOG:]


def _measurements(run: Run, submission: Submission) -> dict[str, object]:
    checkpoint, revision = run.summary["checkpoint"], run.summary["revision"]
    return {
        "input_data_types": INPUT_TYPES[run.benchmark],
        "retraining": "no",
        "starting_weights_filename": f"{checkpoint}@{revision}" if revision else str(checkpoint),
        "weight_data_types": WEIGHT_TYPES[run.benchmark],
        "weight_transformations": "none",
        **submission.measurements.get(run.benchmark, {}),
    }


def _not_empty(conf: bytes) -> bytes:
    return conf if conf.strip() else b"# Nothing but what mlperf.conf sets.\n"


def _readme(entry: Entry, submission: Submission) -> str:
    run = entry.runs[0]
    replicas = "\n".join(
        f"| {r['pool']} | {r['vendor']} | {r['accelerator']} | {r['tensor_parallel']} | {r['engine']} "
        f"{r['engine_version']} | {r['checkpoint']} | {r['slots']} |"
        for r in run.replicas
    )
    module = entry.scenario.lower()
    commands = "\n".join(
        f"python -m loadtest.{module} --benchmark {entry.benchmark} --mode {one.mode} --round {submission.round} "
        f"--data DATA{_rate(one)}"
        if one.compliance is None
        else f"python -m loadtest.compliance --test {one.compliance} --scenario {module} --data DATA{_rate(one)}"
        for one in entry.runs
    )
    return (
        f"# {entry}, {submission.system['system_name']}\n\nOne OpenAI-compatible address over the replicas below; "
        "a router spreads the load by each replica's own measured speed. Caches that span queries are off in every "
        "replica, and every run asked each replica that it is so.\n\n"
        "| pool | vendor | accelerator | TP | engine | checkpoint | sequences |\n|---|---|---|---|---|---|---|\n"
        f"{replicas}\n\n## Commands\n\n```\nserve run deployments:app fleet=FLEET\n{commands}\n```\n\n"
        f"Data set: {run.summary['data_set']['description']}, {run.summary['data_set']['samples']} samples.\n"
    )


def _rate(run: Run) -> str:
    rate = run.summary.get("target_qps")
    return f" --target-qps {rate:g}" if rate else ""


def _sources() -> Iterator[File]:
    yield PurePosixPath("README.md"), _SOURCES_README.encode()
    for package in PACKAGES:
        for path in sorted((PROJECT_ROOT / package).rglob("*")):
            if path.suffix in SOURCES and "__pycache__" not in path.parts:
                yield PurePosixPath(path.relative_to(PROJECT_ROOT).as_posix()), path.read_bytes()


_CALIBRATION = """# Calibration

The checkpoints are used with the weights that their authors published: nothing was calibrated or retrained for this
submission. What a pool quantises at its start is said in the engine flags of the fleet file.
"""

_SOURCES_README = """# Source

The packages that served and measured: `cluster` (what runs where), `deployments` (engines, gateway, router) and
`loadtest` (LoadGen's client, scorers, this tree). The README of each result names its commands.
"""


def read_measurements(file: Path | None) -> dict[str, dict[str, Any]]:
    """Benchmark -> fields of measurements.json that the user sets. Raises ValueError, OSError."""
    if file is None:
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not all(isinstance(fields, dict) for fields in found.values()):
        raise ValueError(f"{file}: measurements are a JSON object of benchmarks, each an object of fields")
    return found
