"""The compliance tests of these benchmarks: what LoadGen is told in audit.config, and what is asked of the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUDIT_CONFIG = "audit.config"
PERFORMANCE_MODE = 2
LOG_SEED = 720381539243781796


@dataclass(frozen=True)
class Audit:
    """One compliance test.

    Attributes:
        settings: lines of audit.config, without `*.*.`. LoadGen lets them overrule user.conf.
        samples: size of its own data set; None where it runs over the benchmark's performance set.
        thresholds: lines of audit.config for the verification; LoadGen does not read them.
    """

    name: str
    benchmark: str
    settings: Mapping[str, int]
    samples: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def config(self, samples: int) -> str:
        """Text of audit.config for a data set of so many samples."""
        settings = dict(self.settings)
        if "min_query_count" in settings:
            settings["min_query_count"] = min(settings["min_query_count"], samples)
        lines = [f"*.*.{key} = {value}" for key, value in {**settings, **self.thresholds}.items()]
        return "\n".join([f"# {self.name}, {self.benchmark}", *lines, ""])


_LOG_ALL = {"mode": PERFORMANCE_MODE, "accuracy_log_rng_seed": LOG_SEED, "accuracy_log_sampling_target": 10_000}

TEST01 = Audit(
    "TEST01",
    "whisper",
    {"mode": PERFORMANCE_MODE, "accuracy_log_rng_seed": LOG_SEED, "accuracy_log_sampling_target": 4096},
)
TEST07 = Audit(
    "TEST07",
    "gpt-oss",
    _LOG_ALL
    | {"min_query_count": 990, "min_duration": 0, "performance_issue_unique": 1, "sample_concatenate_permutation": 0},
    samples=990,
    thresholds={"test07_accuracy_threshold": 60.698},
)
TEST09 = Audit(
    "TEST09",
    "gpt-oss",
    _LOG_ALL | {"min_query_count": 6396, "min_duration": 0, "sample_concatenate_permutation": 0},
    thresholds={"test09_min_output_tokens": 1150.38, "test09_max_output_tokens": 1406.02},
)

AUDITS = {audit.name: audit for audit in (TEST01, TEST07, TEST09)}
"""From mlcommons/inference, compliance/. MLCommons asks for no test of Qwen3-VL in v6.0 and v6.1."""
