"""Whether a test counts: LoadGen's word, overruled by what LoadGen cannot know."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.benchmarks.base import Dataset, Mode
from loadtest.endpoint import CACHES_ON, UNVERIFIED
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan
from loadtest.measure import Measurement
from loadtest.target import Target

HEADROOM = 1.05


@dataclass(frozen=True)
class Verdict:
    """`valid`: the test ran by LoadGen's rules and every sample was answered. `not_submittable`: why MLCommons would
    still not take it; empty where nothing known speaks against it."""

    valid: bool
    reasons: tuple[str, ...]
    not_submittable: tuple[str, ...]

    @property
    def word(self) -> str:
        return "VALID" if self.valid else "INVALID"


def judge(plan: TestPlan, target: Target, dataset: Dataset, facts: LogFacts, measured: Measurement) -> Verdict:
    """The verdict on a finished test."""
    reasons = list(facts.reasons)
    if not facts.valid and plan.mode is Mode.PERFORMANCE and facts.samples_per_s and not plan.quick:
        reasons.append(f"try --target-qps {facts.samples_per_s * HEADROOM:.3g}, so that it lasts the 600 s")
    if failures := measured.failures:
        reasons.append(f"{len(failures)} samples were not answered, the first with: {failures[0].error}")
    return Verdict(facts.valid and not failures, tuple(reasons), tuple(_obstacles(plan, target, dataset)))


def _obstacles(plan: TestPlan, target: Target, dataset: Dataset) -> list[str]:
    official = plan.official
    found = []
    if plan.quick:
        found.append("a quick run")
    if dataset.embedded:
        found.append("the embedded data set and checkpoint are toys")
    if not plan.is_official_size:
        found.append(f"{plan.samples} samples instead of {official.samples(plan.mode)}")
    if target.caches == CACHES_ON:
        found.append(f"caches are on in {len(target.offenders)} replicas")
    if target.caches == UNVERIFIED:
        found.append("unverified: this endpoint cannot prove that its caches are off")
    if target.checkpoint != official.checkpoint:
        found.append(f"checkpoint {target.checkpoint} instead of {official.checkpoint}")
    elif target.revision != official.revision:
        found.append(f"revision {target.revision} instead of {official.revision}")
    return found + dataset.deviations(target.served, plan.mode)
