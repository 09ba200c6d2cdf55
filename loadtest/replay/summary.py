"""The summary of a replay: its figures, and everything that they mean nothing without."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from loadtest.latency import Quantiles, Slo, imbalance, latencies
from loadtest.replay.jobs import Job, Plan
from loadtest.replay.player import Outcome, Played
from loadtest.traces.trace import Trace

LABEL = "open-loop replay: not an MLPerf result"
ALL_POOLS = "all"
LATE_S = 0.1


@dataclass(frozen=True)
class Judged:
    """How answers are judged. `prefill_tokens_per_s`: the fleet's mean rate, where the user knows it."""

    slo: Slo
    prefill_tokens_per_s: float | None = None

    def prefill_s(self, tokens: int) -> float:
        return tokens / self.prefill_tokens_per_s if self.prefill_tokens_per_s else 0.0


def summarise(
    plan: Plan, trace: Trace, jobs: Sequence[Job], played: Played, judged: Judged, state: str
) -> dict[str, Any]:
    """Facts and figures in any `state` (complete, interrupted, failed); partial ones where it was cut short."""
    outcomes = played.outcomes
    answered = [outcome for outcome in outcomes if outcome.ok]
    whole = _figures(outcomes, judged, played.seconds)
    return {
        "label": LABEL if state == "complete" else f"{LABEL}; partial: {state} before its end",
        "state": state if state == "complete" else f"partial ({state})",
        "benchmark": trace.name,
        "scenario": "open loop",
        "mode": "replay",
        "model": ", ".join(sorted({job.model.name for job in jobs})),
        "endpoint": plan.target.url,
        "caches": plan.target.caches,
        "samples_issued": played.issued,
        "samples_answered": len(answered),
        "samples_failed": len(outcomes) - len(answered),
        "samples_unfinished": played.unfinished,
        "samples_not_sent": len(jobs) - played.issued,
        "seconds": played.seconds,
        "metric": "requests/s within the SLO",
        "value": whole["goodput_per_s"],
        "slo": {**asdict(judged.slo), "prefill_tokens_per_s": judged.prefill_tokens_per_s},
        "offered_requests_per_s": trace.requests_per_s,
        "latencies": whole,
        "by_model": _by_model(outcomes, judged, played.seconds),
        "replicas": _replicas(plan, outcomes),
        "failures": dict(Counter(outcome.reply.failure for outcome in outcomes if not outcome.ok)),
        "lateness_s": _quantiles(Quantiles.of(outcome.lateness_s for outcome in outcomes)),
        "trace": asdict(trace.statistics),
        "scale": plan.scale,
        "seed": plan.contents.seed,
        "reasons": list(_remarks(plan, jobs, played)),
        "fleet": plan.target.fleet,
        "versions": {"aiohttp": version("aiohttp")},
    }


def _by_model(outcomes: Iterable[Outcome], judged: Judged, seconds: float) -> dict[str, dict[str, Any]]:
    """Model -> pool -> figures; the pool `all` is all of them. A failure before any pool answered is in no other."""
    models: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        pools = models[outcome.job.model.name]
        pools[ALL_POOLS].append(outcome)
        if outcome.reply.pool:
            pools[outcome.reply.pool].append(outcome)
    return {
        model: {pool: _figures(pools[pool], judged, seconds) for pool in sorted(pools, key=lambda p: (p != "all", p))}
        for model, pools in sorted(models.items())
    }


def _figures(outcomes: Iterable[Outcome], judged: Judged, seconds: float) -> dict[str, Any]:
    timings = [outcome.timing for outcome in outcomes]
    return latencies(timings, judged.slo, judged.prefill_s, seconds).as_dict()


def _replicas(plan: Plan, outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """Model -> answers and answered input tokens of each replica, idle ones too, and how uneven they are."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    asked = {outcome.job.model.name: outcome.job.model for outcome in outcomes}
    for outcome in outcomes:
        if outcome.reply.replica:
            counts[outcome.job.model.name][outcome.reply.replica] += 1
    told = {}
    for name, model in sorted(asked.items()):
        answers = {replica: counts[name][replica] for replica in sorted({*model.replicas, *counts[name]})}
        if answers:
            told[name] = {"answers": answers, "imbalance": imbalance(answers.values())}
    return told


def _remarks(plan: Plan, jobs: Sequence[Job], played: Played) -> Iterable[str]:
    if plan.scale != 1:
        yield f"lengths of text and pictures are {plan.scale:g} times those of the trace"
    if cut := sum(job.cut for job in jobs):
        yield f"{cut} of {len(jobs)} requests are cut to their model's context"
    if guessed := sum(outcome.ok and outcome.reply.output_tokens is None for outcome in played.outcomes):
        yield f"{guessed} answers told no usage: their tokens are counted by events"
    if played.waited:
        yield f"{played.waited} requests were due while as many as allowed were in flight, and left late"
    late = sum(outcome.lateness_s > LATE_S for outcome in played.outcomes)
    if late > len(played.outcomes) / 100:
        yield f"{late} requests left more than {LATE_S:g} s late: this client was too slow for the load"
    if not plan.whole_answers:
        yield "answers may end before the trace's length"
    if played.unfinished:
        yield f"{played.unfinished} requests were in flight at the end, and count neither as answered nor as failed"
    failed = next((outcome.reply for outcome in played.outcomes if not outcome.ok), None)
    if failed is not None:
        yield f"the first failure: {failed.failure}: {failed.detail}"


def _quantiles(quantiles: Quantiles | None) -> dict[str, float] | None:
    return None if quantiles is None else asdict(quantiles)
