"""The summary of a run: everything that its figures mean nothing without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from loadtest.benchmarks.base import Accuracy, Score
from loadtest.client import Outcome
from loadtest.latency import Quantiles
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan
from loadtest.measuring import Measurement, Subject
from loadtest.online.standing import e2e_s, tpot_s, ttft_s
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
        "scenario": str(plan.scenario),
        "mode": str(plan.mode),
        "round": str(plan.round),
        "compliance": plan.audit.name if plan.audit else None,
        "target_qps": plan.target_qps,
        "unofficial": list(plan.online.unofficial) if plan.online else [],
        "loadgen_model": plan.loadgen_model,
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
        "answered_by_replica": dict(Counter(outcome.replica for outcome in outcomes if outcome.replica)),
        "latency": latency(outcomes) if plan.online else None,
        "limits": _limits(plan),
        "client_cores": _cores(measured),
        "pullers": [] if plan.online else [asdict(seat) for seat in target.seats],
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
        accuracy = accuracy_of(score, official.accuracy(plan.scenario), _note(plan, summary))
    return {
        **summary,
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "not_submittable_because": list(verdict.not_submittable),
        "metric": metric(plan),
        "value": value,
        "samples_per_s": facts.samples_per_s,
        "tokens_per_s": facts.tokens_per_s,
        "accuracy": accuracy,
        "loadgen_settings": facts.settings,
    }


def accuracy_of(score: Score, wanted: Accuracy, note: str | None) -> dict[str, Any]:
    """Beside what it is held against. `note`: why it says nothing of the official model."""
    official = {"official_reference": wanted.reference, "official_threshold": wanted.threshold}
    return {**asdict(score), **official, "note": note}


def metric(plan: TestPlan) -> str:
    """Unit of the figure that counts: queries are what an online test calls its samples."""
    return plan.official.metric.replace("samples", "queries") if plan.online else plan.official.metric


def latency(outcomes: Collection[Outcome]) -> dict[str, dict[str, float] | None]:
    """Of whole answers, in seconds from when each was due; `lateness_s`: how much later than that it was sent."""
    whole = [outcome for outcome in outcomes if outcome.answer]
    figures = {
        "ttft_s": Quantiles.of(map(ttft_s, whole)),
        "tpot_s": Quantiles.of(map(tpot_s, whole)),
        "e2e_s": Quantiles.of(map(e2e_s, whole)),
        "lateness_s": Quantiles.of(outcome.started - outcome.due for outcome in outcomes),
    }
    return {name: None if quantiles is None else asdict(quantiles) for name, quantiles in figures.items()}


def _cores(measured: Measurement) -> float | None:
    """CPU seconds of this process in a second of the test."""
    seconds = measured.finished - measured.started
    return measured.cpu_s / seconds if measured.cpu_s is not None and measured.started and seconds > 0 else None


def _limits(plan: TestPlan) -> dict[str, float | None] | None:
    if plan.online is None:
        return None
    return {"ttft_s": plan.online.ttft_s, "tpot_s": plan.online.tpot_s, "e2e_s": plan.online.e2e_s}


def _note(plan: TestPlan, summary: dict[str, Any]) -> str | None:
    if summary["data_set"]["embedded"]:
        return "a toy figure: embedded data, which shows that the path is right and nothing of the large model"
    if not plan.is_official_size:
        return f"over {plan.samples} samples instead of {plan.official_samples}"
    return None
