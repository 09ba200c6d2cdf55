"""Whether a test counts: LoadGen's word, overruled by what LoadGen cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.benchmarks.base import Dataset, Mode, Online
from loadtest.endpoint import CACHES_ON, UNVERIFIED
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan, official_settings
from loadtest.measuring import Measurement
from loadtest.target import Target

HEADROOM = 1.05


@dataclass(frozen=True)
class Verdict:
    """`valid`: the test ran by LoadGen's rules, within its limits, and had every sample answered. `not_submittable`:
    why MLCommons would still not take it; empty where nothing known speaks against it."""

    valid: bool
    reasons: tuple[str, ...]
    not_submittable: tuple[str, ...]

    @property
    def word(self) -> str:
        return "VALID" if self.valid else "INVALID"


def judge(plan: TestPlan, target: Target, dataset: Dataset, facts: LogFacts, measured: Measurement) -> Verdict:
    """The verdict on a finished test."""
    reasons = list(facts.reasons)
    broken: list[str] = []
    if plan.online is not None and plan.mode is Mode.PERFORMANCE:
        # LoadGen judges by an estimate that allows for chance, and a short test may pass with a limit missed.
        broken = _broken_limits(plan.online, facts.latency)
        reasons += broken
    elif not facts.valid and facts.samples_per_s and not plan.quick:
        reasons.append(f"try --target-qps {facts.samples_per_s * HEADROOM:.3g}, so that it lasts the 600 s")
    if failures := measured.failures:
        reasons.append(f"{len(failures)} samples were not answered, the first with: {failures[0].error}")
    obstacles = _obstacles(plan, target, dataset) + ([] if plan.quick else _wrong_settings(plan, facts))
    return Verdict(facts.valid and not failures and not broken, tuple(reasons), tuple(obstacles))


def _broken_limits(limits: Online, latency: Mapping[str, Mapping[str, float]]) -> list[str]:
    """By LoadGen's own 99th percentiles."""
    limited = {"ttft_s": limits.ttft_s, "tpot_s": limits.tpot_s, "e2e_s": limits.e2e_s}
    return [
        f"{figure.removesuffix('_s').upper()} p99 is {latency[figure]['p99']:.4g} s, limit {limit:g} s"
        for figure, limit in limited.items()
        if limit is not None and figure in latency and latency[figure]["p99"] >= limit
    ]


def _wrong_settings(plan: TestPlan, facts: LogFacts) -> list[str]:
    """Where LoadGen ran with other settings than the round has, by its own log."""
    return [
        f"LoadGen ran with {key} {facts.settings.get(key)} instead of {value}"
        for key, value in official_settings(plan).items()
        if facts.settings.get(key) != value
    ]


def _obstacles(plan: TestPlan, target: Target, dataset: Dataset) -> list[str]:
    official = plan.official
    found = []
    if plan.quick:
        found.append("a quick run")
    if plan.online is not None:
        found += plan.online.unofficial
    if dataset.embedded:
        found.append("the embedded data set and checkpoint are toys")
    if not plan.is_official_size:
        found.append(f"{plan.samples} samples instead of {plan.official_samples}")
    if target.caches == CACHES_ON:
        found.append(f"caches are on in {len(target.offenders)} replicas")
    if target.differing:
        found.append(f"{len(target.differing)} replicas run another checkpoint")
    if target.caches == UNVERIFIED:
        found.append("unverified: this endpoint cannot prove that its caches are off")
    if target.checkpoint != official.checkpoint:
        found.append(f"checkpoint {target.checkpoint} instead of {official.checkpoint}")
    elif target.revision != official.revision:
        found.append(f"revision {target.revision} instead of {official.revision}")
    return found + dataset.deviations(target.served, plan.mode)
