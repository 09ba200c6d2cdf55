"""What a LoadGen test is told: user.conf and TestSettings, with the traps of its configuration closed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import mlperf_loadgen as lg

from loadtest.benchmarks.base import Mode, Official

SCENARIO = "Offline"
QUICK_PREFIX = "quick_"
"""Goes before the names of a quick run's logs: the submission checker does not even find them."""

_loaded = threading.Lock()


class LoadGenError(RuntimeError):
    """LoadGen was misused or refused its configuration."""


@dataclass(frozen=True)
class TestPlan:
    """One test. `samples`: size of the data set; `target_qps`: expected samples/s, None for LoadGen's own 1."""

    official: Official
    mode: Mode
    samples: int
    quick: bool = False
    target_qps: float | None = None

    @property
    def log_prefix(self) -> str:
        return f"{QUICK_PREFIX}mlperf_log_" if self.quick else "mlperf_log_"

    @property
    def is_official_size(self) -> bool:
        return self.samples == self.official.samples(self.mode)


def user_conf(plan: TestPlan) -> str:
    """Text of the test's user.conf. It is written even where it sets nothing: LoadGen calls a missing one an error."""
    values: dict[str, int | float] = {}
    if plan.official.min_query_count is not None:
        values["min_query_count"] = plan.official.min_query_count
    if plan.target_qps is not None:
        values["target_qps"] = plan.target_qps
    if not plan.is_official_size:
        # mlperf.conf's own counts reach past the end of a smaller set.
        values["performance_sample_count_override"] = plan.samples
        values["accuracy_sample_count_override"] = plan.samples
    if plan.quick:
        values |= {"min_duration": 0, "min_query_count": plan.samples, "target_qps": 1}
    head = (
        ["# Quick run: one pass over a small set. Not an MLPerf result and not to be submitted."] if plan.quick else []
    )
    lines = [f"{plan.official.loadgen_model}.{SCENARIO}.{key} = {value}" for key, value in values.items()]
    return "\n".join([*head, *lines, ""])


def test_settings(plan: TestPlan, conf: Path) -> lg.TestSettings:
    """LoadGen's settings from its own mlperf.conf and the user.conf at `conf`.

    Raises LoadGenError on a second call in this process: LoadGen reads its own part only once, and would then run the
    second test with wrong seeds and durations without a word.
    """
    if not _loaded.acquire(blocking=False):
        raise LoadGenError("this process has run a LoadGen test before; start a new process for each test")
    settings = lg.TestSettings()
    code = settings.FromConfig(str(conf), plan.official.loadgen_model, SCENARIO, 1)
    if code != 0:
        raise LoadGenError(f"LoadGen cannot read {conf} (code {code}); each line is `model.{SCENARIO}.key = value`")
    settings.scenario = lg.TestScenario.Offline
    settings.mode = lg.TestMode.AccuracyOnly if plan.mode is Mode.ACCURACY else lg.TestMode.PerformanceOnly
    return settings


def log_settings(plan: TestPlan, folder: Path) -> lg.LogSettings:
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    output.prefix = plan.log_prefix
    output.copy_summary_to_stdout = False
    settings = lg.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings
