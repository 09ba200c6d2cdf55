"""What a LoadGen test is told: user.conf and TestSettings, with the traps of its configuration closed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg

from loadtest.benchmarks.base import Mode, Official, Online, Scenario
from loadtest.compliance.audit import Audit
from loadtest.loadgen.rounds import SEEDS, Round, Seeds

LOG_PREFIX = "mlperf_log_"
QUICK_PREFIX = "quick_"
"""Goes before the names of a quick run's logs: the submission checker does not even find them."""

MIN_DURATION_MS = 600_000

QUICK_PERCENTILE = 90
"""Of a quick online test: for the official 99 LoadGen wants to see 662 queries."""

_loaded = threading.Lock()


class LoadGenError(RuntimeError):
    """LoadGen was misused or refused its configuration."""


@dataclass(frozen=True)
class TestPlan:
    """One test.

    Attributes:
        samples: size of the data set.
        target_qps: expected samples/s of Offline, issued queries/s of the others; None for LoadGen's own 1.
        audit: the compliance test that this is a run of.
        passes: times that a quick run asks its samples.
    """

    official: Official
    mode: Mode
    samples: int
    quick: bool = False
    target_qps: float | None = None
    scenario: Scenario = Scenario.OFFLINE
    round: Round = Round.V6_1
    audit: Audit | None = None
    passes: int = 1

    @property
    def log_prefix(self) -> str:
        return (QUICK_PREFIX if self.quick else "") + LOG_PREFIX

    @property
    def official_samples(self) -> int:
        if self.audit is not None and self.audit.samples is not None:
            return self.audit.samples
        return self.official.samples(self.mode, self.scenario)

    @property
    def is_official_size(self) -> bool:
        return self.samples == self.official_samples

    @property
    def online(self) -> Online | None:
        """The promises of an online scenario; None for Offline, which has none."""
        return None if self.scenario is Scenario.OFFLINE else self.official.online[self.scenario]

    @property
    def loadgen_model(self) -> str:
        return self.online.loadgen_model if self.online else self.official.loadgen_model

    @property
    def token_latencies(self) -> bool:
        """Whether LoadGen wants to hear of first tokens."""
        return self.online is not None and self.online.token_latencies

    @property
    def seeds(self) -> Seeds:
        return SEEDS[self.round]


def user_conf(plan: TestPlan) -> str:
    """Text of the test's user.conf. It is written even where it sets nothing: LoadGen calls a missing one an error."""
    values: dict[str, int | float] = dict(plan.online.settings) if plan.online else {}
    if plan.official.min_query_count is not None and plan.scenario is Scenario.OFFLINE:
        values["min_query_count"] = plan.official.min_query_count
    if plan.target_qps is not None:
        values["target_qps"] = plan.target_qps
    if not plan.is_official_size or plan.audit is not None:
        # mlperf.conf's own counts reach past the end of a smaller set.
        values["performance_sample_count_override"] = plan.samples
        values["accuracy_sample_count_override"] = plan.samples
    if plan.quick:
        values |= {"min_duration": 0, "min_query_count": plan.samples * plan.passes}
        if plan.online:
            values["target_latency_percentile"] = QUICK_PERCENTILE
        else:
            values["target_qps"] = 1
    head = (
        ["# Quick run: one pass over a small set. Not an MLPerf result and not to be submitted."] if plan.quick else []
    )
    lines = [f"{plan.loadgen_model}.{plan.scenario.loadgen}.{key} = {value}" for key, value in values.items()]
    return "\n".join([*head, *lines, ""])


def test_settings(plan: TestPlan, conf: Path) -> lg.TestSettings:
    """LoadGen's settings from its own mlperf.conf and the user.conf at `conf`, with the seeds of the plan's round.

    Raises LoadGenError on a second call in this process: LoadGen reads its own part only once, and would then run the
    second test with wrong seeds and durations without a word.
    """
    if not _loaded.acquire(blocking=False):
        raise LoadGenError("this process has run a LoadGen test before; start a new process for each test")
    settings = lg.TestSettings()
    scenario = plan.scenario.loadgen
    code = settings.FromConfig(str(conf), plan.loadgen_model, scenario, 1)
    if code != 0:
        raise LoadGenError(f"LoadGen cannot read {conf} (code {code}); each line is `model.{scenario}.key = value`")
    settings.scenario = getattr(lg.TestScenario, scenario)
    settings.mode = lg.TestMode.AccuracyOnly if plan.mode is Mode.ACCURACY else lg.TestMode.PerformanceOnly
    settings.qsl_rng_seed = plan.seeds.qsl
    settings.sample_index_rng_seed = plan.seeds.sample_index
    settings.schedule_rng_seed = plan.seeds.schedule
    return settings


def official_settings(plan: TestPlan) -> dict[str, Any]:
    """What LoadGen's detail log must tell of a run by the rules of its round, as `effective_...` without that word."""
    found: dict[str, Any] = {
        "scenario": plan.scenario.loadgen,
        "test_mode": "AccuracyOnly" if plan.mode is Mode.ACCURACY else "PerformanceOnly",
        "qsl_rng_seed": plan.seeds.qsl,
        "sample_index_rng_seed": plan.seeds.sample_index,
        "schedule_rng_seed": plan.seeds.schedule,
    }
    overruled = plan.audit.settings if plan.audit else {}
    if "min_duration" not in overruled:
        found["min_duration_ms"] = MIN_DURATION_MS
    if "sample_concatenate_permutation" not in overruled:
        found["sample_concatenate_permutation"] = True
    if plan.mode is Mode.PERFORMANCE:
        found["performance_sample_count"] = plan.official_samples
    if plan.online is not None:
        found |= {"target_latency_ns": round((plan.online.e2e_s or 0) * 1e9), "target_latency_percentile": 0.99}
        if plan.target_qps is not None:
            found["target_qps"] = plan.target_qps
    return found


def log_settings(plan: TestPlan, folder: Path) -> lg.LogSettings:
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    output.prefix = plan.log_prefix
    output.copy_summary_to_stdout = False
    settings = lg.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings
