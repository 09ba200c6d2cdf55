"""The summary of a run: everything that its figures mean nothing without."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from loadtest.benchmarks.base import Score
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan
from loadtest.measure import Measurement, Subject
from loadtest.target import Target
from loadtest.verdict import Verdict

QUICK_LABEL = "quick: not an MLPerf result, not to be submitted"
OFFICIAL_LABEL = "official settings"
PACKAGES = ("mlcommons-loadgen", "ray")


def label(plan: TestPlan) -> str:
    return QUICK_LABEL if plan.quick else OFFICIAL_LABEL


def summarise(plan: TestPlan, target: Target, subject: Subject, measured: Measurement, state: str) -> dict[str, Any]:
    """Facts of a run in any `state` (complete, interrupted, failed)."""
    outcomes = measured.ledger.outcomes.values()
    answers = [outcome.answer for outcome in outcomes if outcome.answer]
    return {
        "label": label(plan),
        "state": state,
        "benchmark": subject.benchmark.name,
        "scenario": "Offline",
        "mode": str(plan.mode),
        "loadgen_model": plan.official.loadgen_model,
        "data_set": {
            "description": subject.dataset.description,
            "embedded": subject.dataset.embedded,
            "samples": plan.samples,
        },
        "deviations": subject.dataset.deviations(subject.served, plan.mode),
        "samples_issued": measured.ledger.issued,
        "samples_answered": len(answers),
        "samples_failed": len(measured.failures),
        "answers_reported_as_two_tokens": measured.short_answers,
        "tokens": sum(answer.tokens for answer in answers),
        "seconds": max(0.0, measured.finished - measured.started) if measured.started else 0.0,
        "repeated_requests": sum(outcome.attempts - 1 for outcome in outcomes),
        "answered_by_pool": dict(Counter(outcome.pool for outcome in outcomes if outcome.pool)),
        "endpoint": target.url,
        "model": target.served.name,
        "max_model_len": target.served.max_model_len,
        "checkpoint": target.checkpoint,
        "revision": target.revision,
        "caches": target.caches,
        "pullers": [asdict(seat) for seat in target.seats],
        "fleet": target.fleet,
        "versions": {package: version(package) for package in PACKAGES},
    }


def conclude(
    summary: dict[str, Any], plan: TestPlan, facts: LogFacts, verdict: Verdict, score: Score | None
) -> dict[str, Any]:
    """The summary of a finished test: figures from LoadGen's own log, verdict and accuracy."""
    official = plan.official
    value = facts.tokens_per_s if official.metric == "tokens/s" else facts.samples_per_s
    accuracy = None
    if score is not None:
        accuracy = {
            **asdict(score),
            "official_reference": official.accuracy_reference,
            "official_threshold": official.accuracy_threshold,
            "note": _note(plan, summary),
        }
    return {
        **summary,
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "not_submittable_because": list(verdict.not_submittable),
        "metric": official.metric,
        "value": value,
        "samples_per_s": facts.samples_per_s,
        "tokens_per_s": facts.tokens_per_s,
        "accuracy": accuracy,
        "loadgen_settings": facts.settings,
    }


def _note(plan: TestPlan, summary: dict[str, Any]) -> str | None:
    if summary["data_set"]["embedded"]:
        return "a toy figure: embedded data, which shows that the path is right and nothing of the large model"
    if not plan.is_official_size:
        return f"over {plan.samples} samples instead of {plan.official.samples(plan.mode)}"
    return None
